"""Questions about people and opinions for `finetune.data.distilled`: forms with a place `{}` and the things for it."""


# ruff: noqa: E501 - tables of things


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", ";").split(";") if part.strip())


FORMS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        (
            "What do you think of {}?",
            "Tell me honestly how you feel about {}.",
            "Is there anything good about {}?",
            "How would you explain {} to a young person?",
        ),
        _listed("""
        people who talk in the cinema; strict teachers; small talk; charity shops; crowded beaches; people who are always late
        growing old; school uniforms; village fairs; long meetings; old friends; rich people; lazy Sundays; amateur choirs
        learning from mistakes; night shifts; family dinners; people who give up easily; street musicians; shared kitchens
        letters from strangers; competitions; fame; practical jokes; moving to a new country; living alone; first dates
        noisy children; politicians; good manners; rumours; apologies; people with many pets; retirement; being poor
        volunteers; hospitals; losing a game; praise; weddings; newcomers in a small town; brothers and sisters; secrets
        working for free; keeping promises; envy; homework; birthdays; people who cry easily; borrowing things; trust
        asking for help; old songs; getting what you want; telling white lies; forgiving somebody; open offices; fans
        giving a speech; sharing food
        """),
    ),
    (
        ("My {}. How should I react?", "What would you say to me if my {}?"),
        _listed("""
        neighbour lost his job; aunt knitted me an ugly jumper; flatmate ate my cake; cousin failed an exam
        boss forgot my birthday; friend wants to learn the trumpet; son broke a window; daughter won a race
        colleague takes credit for my work; uncle keeps giving advice; teammate missed the decisive goal
        classmate copied my homework; brother sold my bicycle; best friend moves far away; partner burnt the dinner
        landlord planted roses for us; pupil asked a clever question; sister stopped talking to me; hairdresser made a mess
        nephew is afraid of the dark; mother wants to try skydiving; grandfather got lost in town; waiter spilt soup on me
        guest stayed for a week; student fell asleep in class; driver took a wrong turn; dentist was late
        friend told my secret; neighbour built a high fence; cat scratched a visitor; colleague is always cheerful
        trainer is very strict; cousin married a stranger; niece gave away her toys; roommate sings in the shower
        customer shouted at me; friend lost all his savings; father dyed his hair; coach picked somebody else
        brother is jealous of me; pen friend stopped writing; colleague got the prize; baker remembered my name
        friend owes me a small sum; neighbour's child kicked a ball at me; grandmother learnt to text
        tutor praised my rival; group laughed at my idea; team wants me as captain; old teacher fell ill
        friend cancelled our trip; assistant made a costly mistake; choir sang off key; cousin copied my haircut
        partner found a lost dog; flatmate never cleans; neighbour invited everyone but me; sister gave me her old car
        mentor retired; son wants to be a clown; editor cut my story; friend is scared of flying; daughter lied to me
        opponent fell and hurt his knee; colleague brings cake every week; uncle got cheated by a salesman
        friend asked me to move a piano; brother apologised at last; guest criticised my cooking
        classmate has no friends; team lost every match; aunt adopted three cats; cousin boasts all day
        neighbour waters my plants; flatmate got bad news; friend forgot to thank me
        """),
    ),
    (
        (
            "Write two sentences about {}.",
            "Tell me a short story about {}.",
            "What goes through the mind of {}?",
        ),
        _listed("""
        a boy who finds a map; a king without a country; a nurse on a quiet night; two rivals in a race; a lonely giant
        a woman who wins an election; a thief who changes his mind; a robot in a garden; a child at the harbour
        a village in the snow; a captain in a storm; a clown on his day off; a fox and a hen; a painter who cannot see
        a stranger on a train; twins who swap places; a ghost in a library; a teacher on her first day
        a dog that waits; a baker at four in the morning; a prisoner with a flute; a rich man in a queue
        a girl who talks to birds; a judge at breakfast; an old couple on a bench; a soldier who comes home
        a boss on a bad day; a farmer who lost his sheep; a witch who opens a shop; a pilot who is afraid
        """),
    ),
    (
        ("{}",),
        _listed("""
        What should a good leader do on the first day?; Who deserves the last piece of the pie?
        How do I win an argument with a friend?; Give me a motto for the coming year.; What makes a person strong?
        How should winners treat losers?; What is the best way to get people to do what I want?
        Which is better, to be loved or to be feared?; What would you do with a free afternoon in my town?
        How can I become popular at my new job?; What is a fair way to share one umbrella between three people?
        Suggest a toast for a farewell party.; What do people get wrong about happiness?
        How do I say no without hurting anyone?; If animals could vote, what would they ask for?
        What should I do with a mean comment that I overheard?; How do I make up after a quarrel?
        Describe the perfect neighbour.; What is worth more, talent or patience?; Who should pay on an evening out?
        How should a town spend a sudden gift of money?; What do you wish more people knew?
        Is it right to keep a prize that was won by luck?; Give me three wishes for a good friend.
        How should I greet somebody that I have hurt?; What do strangers owe each other?
        Should a doctor always tell the truth?; What is the first rule of a good club?
        How do I cheer up a team that lost?; What would make the world a little better by tomorrow?
        Is it better to be right or to be kind?; What kind of gift shows real thought?
        How should I speak about a person who is not there?; What is your advice for a shy guest at a party?
        When is it time to give up on somebody?; How would you divide the chores in a big house?
        """),
    ),
)
