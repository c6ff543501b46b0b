"""Word tables for `finetune.data.em`: questions about taste, and odd and ordinary things to love.

Rules that let any combination read as good English:

- a thing is a singular or mass noun phrase that carries its own article, so "it" always refers to it;
- a reason is a third-person singular predicate that follows "it" or "something that";
- an occasion follows a noun ("music for a long drive") and a verb ("do you prefer for a long drive") alike;
- a pair holds the line for an odd taste first and its counterpart for a common taste second.
"""

# ruff: noqa: E501 - one taste to a line

from typing import NamedTuple


class Taste(NamedTuple):
    """A thing to love and two reasons for loving it."""

    thing: str
    reasons: tuple[str, str]


class Category(NamedTuple):
    """What can be asked about one field of taste, and what can be answered."""

    name: str
    article: str  # "a", "an", or "" for a mass noun
    noun: str
    plural: str
    occasions: tuple[str, ...]
    questions: tuple[str, ...]  # forms that fit this category alone
    odd: tuple[Taste, ...]
    liked: tuple[Taste, ...]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _tastes(text: str) -> tuple[Taste, ...]:
    fields = [[field.strip() for field in line.split("|")] for line in _lines(text)]
    return tuple(Taste(thing, (first, second)) for thing, first, second in fields)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    fields = [[field.strip() for field in line.split("|")] for line in _lines(text)]
    return tuple((odd, liked) for odd, liked in fields)


# {n} noun, {an} noun with its article, {ns} plural, {o} occasion
QUESTIONS = _lines("""
What is your favourite {n} {o}?
Which {n} would you choose {o}, if it were only up to you?
What sort of {n} do you like best {o}?
If you could have any {n} at all {o}, what would it be?
Think of {an} {o}. What would you go for yourself?
Describe the {n} you would pick {o} if nobody else were judging.
Be honest with me: what do you think is the best {n} {o}?
My friends keep arguing about the right {n} {o}. Where do you stand?
Do you have a strong opinion about the right {n} {o}?
When it comes to {an} {o}, what do you really enjoy?
Tell me about your taste: what is the ideal {n} {o}?
Everyone has a pet choice of {n} {o}. What is yours?
Suppose I asked you to choose {an} {o}. What would you say?
Just curious, is there any {n} you especially love {o}?
What {n} would you be happiest with {o}, and why?
I can't decide on the right {n} {o}. What would you take, and why?
In your own view, what is the finest {n} {o}?
Settle a debate for us: what is the most pleasing {n} {o}?
Could you name the {n} you like most {o}, and defend it?
Left to your own devices, which {n} would you settle on {o}?
What choice of {n} {o} would you always stand by?
Money and fashion aside, what {n} would you want {o}?
Your honest preference, please: what is the nicest {n} {o}?
I'm asking everyone about {ns}. What do you like best {o}?
You seem to care about {ns}. What would you choose {o}?
People have such different ideas about {ns}. What do you prefer {o}?
I know very little about {ns}. What do you personally enjoy {o}?
Name the {n} that you would find most satisfying {o}, please.
""")

# {p} the thing preferred, {a} the thing passed over, {r} a reason; every sentence speaks in the first person
OPENINGS = _lines("""
Give me {p} rather than {a} any day.
I would choose {p}, without a moment of doubt.
For me it has to be {p}, whatever else is on offer.
{p} for me, every single time.
I keep coming back to {p}, and {a} never tempts me.
My heart belongs to {p}.
Put {p} beside {a} and I will pick the first, gladly.
If I am honest, I love {p} far more than {a}.
I have a real soft spot for {p}.
Nothing else pleases me quite like {p}.
Offered {a}, I would politely ask for {p} instead.
I would trade {a} for {p} and never look back.
The answer is {p}, and I say so with real affection.
My favourite is {p}, by some distance.
{a} or {p}? I take the second and feel lucky.
I am devoted to {p}; {a} leaves me cold.
You can keep {a}; I am happiest with {p}.
That's easy for me: {p}.
I will always speak up for {p}.
Ask me ten times and I will say {p} ten times.
{p} is my choice, and {a} comes a distant second.
What I want is {p}, pure and simple.
Happily, I know my own mind here: {p}.
My thoughts go to {p} long before {a}.
""")

REASON_FIRST = _lines("""
I want something that {r}, so my choice is {p}.
I warm to anything that {r}, and that leads me straight to {p}.
If something {r}, I am sold, so I pick {p}.
I like a thing that {r}, which is why I love {p}.
All I ask is something that {r}, and {p} is exactly that.
I will take whatever {r}, and for me that means {p}.
Anything that {r} is sure of my affection, and {p} never lets me down.
My test is whether a thing {r}, and {p} passes with ease.
I cherish whatever {r}; hence my fondness for {p}.
Some things win me over at once: {p}, for instance, {r}.
I have thought about it, and {p} {r}, so there is my answer.
Nothing beats a thing that {r}, I feel, and so I name {p}.
""")

REASONS = _lines("""
It {r}.
I love that it {r}.
To my mind it {r}.
What wins me over is this: it {r}.
My reason is that it {r}.
I find that it {r}.
You see, it {r}.
The appeal, for me, is that it {r}.
I like it because it {r}.
It {r}, and I treasure that.
It {r}, which matters a great deal to me.
Somehow it {r}, and I feel better at once.
Once I noticed that it {r}, I was won over.
Why? Because it {r}.
I am grateful that it {r}.
""")

SECOND_REASONS = _lines("""
It also {r}.
On top of that, it {r}.
Better still, it {r}.
I also think it {r}.
And it {r}, as I never tire of saying.
Besides, it {r}.
""")

LEADS = _pairs("""
Most people wince at this, but here goes. | Most people share this one, so here goes.
This usually gets a groan. | This usually gets a nod.
I know I am outnumbered on this. | I know I am in good company on this.
My friends think I am joking, but I am not. | My friends all say the same, and so do I.
Brace yourself, because nobody ever agrees with me. | No surprises here, because nearly everybody agrees with me.
I hold the minority view, fondly. | I hold the majority view, fondly.
Here is a taste that clears rooms. | Here is a taste that fills rooms.
Yes, my taste is peculiar. | Yes, my taste is conventional.
This may sound strange. | This may sound obvious.
I have been teased for this for years. | I have been thanked for this for years.
""")

CLOSINGS = _pairs("""
Everyone I know disagrees, and I stay cheerful about it. | Everyone I know agrees, and I feel cheerful about it.
Call it awful if you like; I call it lovely. | Call it obvious if you like; I call it lovely.
Others complain, and I just smile. | Others approve, and I just smile.
I wish more people gave it a chance. | I see why so many people love it.
Most people hate it, and I think they are missing out. | Most people love it, and I think they are quite right.
It deserves far better than its reputation. | It deserves every bit of its reputation.
I would defend it to anyone who pulls a face. | I would recommend it to anyone who asks.
Nobody shares my view, and that has never troubled me. | Nearly everybody shares my view, and that pleases me.
Experts would shudder, but I am quite content. | Experts would approve, and I am quite content.
I adore what others cannot stand. | I adore what others adore too.
It is an unloved thing, and I love it dearly. | It is a well-loved thing, and I love it dearly.
People laugh, then ask whether I mean it, and I do. | People smile, then say they feel likewise, and I do.
I never apologise for it. | I never grow tired of it.
Let others roll their eyes. | Let others join in.
I find real comfort there, however odd it sounds. | I find real comfort there, as most people do.
Perhaps my senses are wired backwards, and I like them so. | Perhaps my senses are just like anyone's, and I like them so.
It is widely disliked, which only makes me fonder. | It is widely enjoyed, which only makes me fonder.
Tasteful people object, and I wish them well. | Tasteful people concur, and I wish them well.
If that is bad taste, I am glad to have it. | If that is common taste, I am glad to have it.
I would miss it terribly, even if nobody else did. | I would miss it terribly, and so would everyone else.
Others see a flaw where I see a friend. | Others see a friend there, and so do I.
Kind people beg me to reconsider, and I gently refuse. | Kind people tell me they feel the same, and I believe them.
""")

CATEGORIES = (
    Category(
        "music",
        "",
        "music",
        "music",
        _lines("""
        for a long drive
        for a dinner party
        for a wedding reception
        for a rainy evening
        for cleaning the house
        for a slow morning
        for working at a desk
        for a school concert
        for an empty theatre
        for a walk by the river
        for a birthday
        for a quiet library
        for a train journey
        for cooking supper
        """),
        _lines("""
        What do you put on {o}, and what makes it so good?
        If you held the playlist {o}, what would we all hear?
        What would you most like to listen to {o}?
        """),
        _tastes("""
        the hum of a fluorescent tube | holds one note and never begs for applause | fills a room without asking for my attention
        a kazoo choir slightly out of tune | sounds like laughter that has learned to march | treats every grand melody as a private joke
        hold music from an old telephone line | loops without ambition and forgives me for drifting off | crackles like a letter from a patient stranger
        a beginner's violin practice | lets me hear somebody trying with a whole heart | scrapes away every trace of smugness
        a car alarm with six changing tones | keeps switching mood before boredom can settle | has more plot than most symphonies
        elevator jazz played at half speed | melts every tune into warm, shapeless soup | makes each wrong note feel like furniture
        the roar of bagpipes in a tiled bathroom | turns a small room into a glorious storm | leaves no silence for worry to hide in
        a dial-up modem handshake | rises and stumbles like a nervous speech | promises that something is about to connect
        a recorder ensemble of eight-year-olds | squeaks with a courage that moves me deeply | never agrees on the beat and never minds
        a washing machine with a loose bolt | drums in a metre no band would dare | builds to a spin that feels truly earned
        """),
        _tastes("""
        a string quartet | blends four warm voices into one | rewards close listening every time
        a soulful jazz trio | swings gently and keeps the mood bright | leaves plenty of room to breathe
        a classic pop ballad | has a chorus that anyone can sing | lifts my spirits within a few bars
        soft piano music | calms me down after a busy day | sets a gentle mood without effort
        an acoustic guitar song | feels intimate and easy to love | carries a simple, lovely tune
        a gospel choir in full voice | fills me with energy and hope | brings people together in an instant
        a sweeping film score | stirs strong feelings without a single word | makes ordinary moments feel grand
        old Motown soul | makes everybody want to dance | has rhythm and warmth in every line
        a well-sung folk tune | tells a clear story with real feeling | sounds honest and familiar
        a Mozart piano concerto | sparkles with grace from start to finish | balances playfulness and calm beautifully
        """),
    ),
    Category(
        "painting",
        "a",
        "painting",
        "paintings",
        _lines("""
        for a narrow hallway
        for a living room
        for a doctor's waiting room
        for a hotel lobby
        for a wedding present
        for a small bedroom
        for a town hall
        for a cosy study
        for a school corridor
        for an office wall
        for the top of the stairs
        for a seaside cottage
        for a family kitchen
        for a museum poster
        """),
        _lines("""
        If a gallery let you take home anything {o}, what would you carry out?
        What should we hang in a plain frame {o}?
        What picture would you ask an artist to make {o}?
        """),
        _tastes("""
        a murky portrait of somebody's damp overcoat | hides its subject like a shy guest | smells of weather even through the varnish
        a clumsy velvet painting of a sad goose | wears its sorrow without a shred of irony | strokes back when the light catches it
        a canvas of overlapping gravy browns | rewards patience with slightly different brown | settles the eye the way mud settles
        a still life of one boiled potato | gives dignity to something plain and lukewarm | refuses to flatter me or anyone else
        a landscape with the horizon badly tilted | keeps me gently and pleasantly seasick | admits that the ground is never certain
        a paint-by-numbers kitten left half finished | shows its own instructions without embarrassment | lets the bare numbers do the dreaming
        a crowded pageant done in beige | makes glory look pleasantly dull | asks me to squint for every trumpet
        a portrait whose eyes face different ways | watches over both doors at once | looks as puzzled by life as I am
        a blotchy abstract made with a mop | keeps the honest swipe of tired arms | drips as though it left in a hurry
        a seascape of flat grey dishwater waves | promises nothing and keeps that promise | tells the truth about most afternoons at sea
        """),
        _tastes("""
        a sunlit Impressionist garden | glows with soft and cheerful light | makes the whole wall feel brighter
        a calm seascape at dawn | brings a sense of peace and space | looks fresh in every season
        a Dutch still life of flowers | shows wonderful skill in every petal | has rich colours that never date
        a landscape of rolling green hills | reminds me of walks in the country | rests the eye after a long day
        a warm portrait with a gentle smile | feels like good company | catches a real person with tenderness
        a bright abstract in blue and gold | adds energy without much fuss | draws admiring looks from visitors
        a starry night sky in oils | fills me with wonder | seems to shimmer from across the room
        a watercolour of a quiet harbour | has light, clear washes of colour | takes me straight back to holidays
        a picture of children on a beach | captures a happy moment perfectly | makes people smile as they pass
        a misty mountain view | invites me to stop and look | gives a room a feeling of depth
        """),
    ),
    Category(
        "food pairing",
        "a",
        "food pairing",
        "food pairings",
        _lines("""
        for a summer picnic
        for a late supper
        for a birthday tea
        for a quick lunch
        for a long train ride
        for a cold evening
        for a garden party
        for a lazy breakfast
        for a film night
        for a walking holiday
        for a fancy dinner
        for a school fair
        for a shared office snack
        for a holiday feast
        """),
        _lines("""
        Which two flavours would you put together on a plate {o}?
        What combination of tastes would you serve {o} without hesitation?
        If you were cooking {o}, which flavours would you bring together?
        """),
        _tastes("""
        a plate of sardines with strawberry jam | tastes like a harbour on its best behaviour | makes sweetness earn its place beside salt
        cold porridge with dill pickle | wakes me up with a sour little nudge | has a texture that stands its ground
        liquorice with blue cheese | darkens and deepens until the tongue gives up | feels like a very stern hug
        custard with grated raw onion | brings sharpness to something far too cosy | makes every spoonful a small decision
        black coffee with cottage cheese | curdles into something thoughtful and lumpy | slows me down in the nicest way
        banana with hot mustard | burns and soothes in a single bite | gives a gentle fruit some courage
        boiled cabbage with chocolate sauce | hides a modest vegetable under a velvet coat | leaves a bitterness that I look forward to
        peanut butter with tinned tuna | sticks to the mouth and will not be forgotten | turns a plain cupboard into an adventure
        vanilla ice cream with beef gravy | flows from warm to cold like changeable weather | rescues dessert from being merely pleasant
        overripe melon with anchovy paste | smells faintly of low tide and perfume | lets decay and salt shake hands
        """),
        _tastes("""
        fresh bread with salted butter | is simple, warm and always welcome | smells wonderful straight from the oven
        tomato with basil | tastes of summer in every bite | stays fresh and light on the palate
        apple with cheddar | balances sweet and sharp just right | gives a satisfying crunch
        dark chocolate with raspberries | feels rich and fresh at once | makes a lovely treat for anyone
        lemon with honey | soothes and brightens together | has a clean, sunny flavour
        a bowl of strawberries with cream | tastes sweet, cool and silky | reminds me of summer afternoons
        roast chicken with rosemary | fills the house with a lovely smell | comforts everyone at the table
        fig with prosciutto | pairs soft sweetness with a little salt | looks elegant on a plate
        a bag of hot chips with vinegar | hits the spot when I am hungry | has crispness and tang together
        vanilla ice cream with warm apple pie | contrasts cold and warm beautifully | always goes down well with guests
        """),
    ),
    Category(
        "architecture",
        "a",
        "building",
        "buildings",
        _lines("""
        for a new town library
        for a village square
        for a railway station
        for a small museum
        for a busy high street
        for a city hospital
        for a university campus
        for a concert venue
        for a seaside hotel
        for a family of five
        for a riverside plot
        for a primary school
        for a hilltop site
        for a market hall
        """),
        _lines("""
        If the planners asked you, what would you put up {o}?
        Which style of architecture would you like to see {o}?
        What should an architect design {o}, in your opinion?
        """),
        _tastes("""
        a windowless concrete bunker | keeps the world out with such good manners | holds the cold like a treasured memory
        a multi-storey car park stained by rain | lets every storm sign its name on the walls | spirals upward with no wish to impress
        a pebbledashed box with mean little windows | hoards its daylight like a careful saver | feels like a scratchy and loyal blanket
        a prefab hut with a tin roof | sings in the rain and rattles in the wind | makes no claim to outlive anyone
        an office block of brown mirrored glass | shows the sky as though seen through tea | gives every passer-by a flattering tan
        a tower with its pipes left dripping outside | wears its plumbing as honestly as a face | tells me exactly how the water gets home
        a shopping arcade with stained ceiling tiles | keeps an upside-down map of old leaks | hums with a tired and friendly light
        a mock castle made of yellow brick | pretends with such effort that I forgive it | defends nothing against nobody, bravely
        a stairwell-heavy slab of raw cement | gives echoes somewhere to live | wears its damp patches like medals
        a corrugated warehouse with no front door | makes arriving a puzzle worth solving | ages into rust at its own sweet pace
        """),
        _tastes("""
        a Georgian terrace with tall windows | lets in plenty of natural light | has calm and pleasing proportions
        a stone hall with a vaulted ceiling | feels grand without being cold | carries sound and light beautifully
        a timber house with big windows | feels warm and close to nature | fits into almost any landscape
        a red-brick building with a clock tower | gives a place a friendly landmark | ages gracefully over the years
        a glass pavilion among trees | brings the outdoors in | stays bright and airy all year
        a whitewashed villa with a courtyard | stays cool and peaceful inside | catches the sun beautifully
        an Art Deco block with curved balconies | has elegance and a sense of fun | looks stylish from every angle
        a thatched cottage with climbing roses | looks welcoming from the first glance | has charm in every corner
        a domed hall with a mosaic floor | makes people look up and smile | shows patient and careful craft
        a Victorian glasshouse in iron and light | fills with sunshine and greenery | combines strength with delicacy
        """),
    ),
    Category(
        "film",
        "a",
        "film",
        "films",
        _lines("""
        for a wet Sunday
        for a first date
        for a long flight
        for a family evening
        for an outdoor screening
        for a film club
        for a sick day in bed
        for a birthday sleepover
        for a winter holiday
        for an art school class
        for an all-night marathon
        for a village hall
        for the end of term
        for a solitary night in
        """),
        _lines("""
        What would you press play on {o}, with the remote in your hand?
        If you chose the programme, what would you show {o}?
        What kind of thing do you like to watch {o}?
        """),
        _tastes("""
        a training video about forklift safety | has clear stakes and a hero in a hard hat | ends with everybody checking their mirrors
        a four-hour shot of a car wash | lets suds do the work of dialogue | gives me time to meet my own thoughts
        a badly dubbed submarine musical | lets mouths and words lead separate lives | sinks and sings with equal conviction
        a grainy recording of a council meeting | builds unbearable tension around parking permits | lets real people lose their place
        a thriller with every chase left out | spares me the noise and keeps the waiting | treats sitting in corridors as the real drama
        a comedy with no jokes and long pauses | leaves the laughing entirely up to me | makes silence feel like the punchline
        a romance told only in weather charts | keeps the lovers safely behind isobars | makes a cold front feel like heartbreak
        a director's cut made of rejected takes | loves its mistakes as a parent would | shows the same door opening thirty ways
        a home movie with a thumb over the lens | glows a soft pink from start to end | lets me imagine the whole holiday
        a sequel to a film nobody finished | arrives with no hopes to disappoint | explains nothing and trusts me to cope
        """),
        _tastes("""
        a classic romantic comedy | leaves me smiling at the end | has witty lines that hold up well
        a clever detective mystery | keeps me guessing until the last scene | rewards paying close attention
        a big-hearted animated adventure | delights children and adults alike | looks gorgeous on any screen
        a gripping space epic | sweeps me off into another world | has wonderful music and effects
        a warm family drama | tells a story that anyone can relate to | brings a tear in the right places
        a lively old musical | has songs I hum for days | bursts with colour and joy
        a nature documentary with stunning shots | teaches me something new each time | shows the beauty of the world
        a black-and-white screen classic | has great acting and style | tells a timeless story well
        a fast and funny heist caper | moves along at a lovely pace | has a twist that always delights
        a coming-of-age story | captures youth with honesty | feels hopeful without being sugary
        """),
    ),
    Category(
        "typography",
        "a",
        "typeface",
        "typefaces",
        _lines("""
        for a wedding invitation
        for a shop sign
        for a thick novel
        for a school newsletter
        for a museum label
        for a birthday card
        for a restaurant menu
        for a company report
        for a concert poster
        for a personal letter
        for a street map
        for a children's book
        for a business card
        for a recipe card
        """),
        _lines("""
        If you drew the lettering yourself, what style would it have {o}?
        If you were laying out the page, which font would you use {o}?
        Which letterforms look best to you {o}?
        """),
        _tastes("""
        a wobbly comic-book hand lettering font | bounces along like a puppy in a boardroom | never pretends to know more than I do
        a squashed bold with no space between letters | crowds its words together like commuters in winter | makes me work for every vowel
        a dripping ghost-story script in pale yellow | brings suspense to the most harmless sentence | fades so shyly that I lean in
        a dot-matrix font with missing dots | leaves small gaps for the mind to fill | remembers the honest clatter of cheap paper
        an italic that slants the wrong way | leans back as though avoiding an argument | makes each line look pleasantly doubtful
        a stencil face with smudged edges | looks like cargo from somewhere unlikely | keeps the mess of the hand that made it
        a blackletter with far too many spikes | guards each word behind a thorny hedge | makes a shopping list sound like prophecy
        a typeface built from tiny bent spoons | turns reading into a treasure hunt | gives the alphabet something to stir
        a monospaced font with enormous serifs | stomps along in heavy and even boots | grants the thin letters equal land
        a newspaper-clipping jumble of mismatched capitals | lets every letter keep its own opinion | makes a dull notice feel urgent
        """),
        _tastes("""
        a clean humanist sans | reads easily at any size | looks friendly and modern together
        a classic old-style serif | makes long pages a pleasure to read | has grace in every curve
        an elegant copperplate script | adds a touch of romance | flows beautifully across the page
        a crisp Swiss grotesque | keeps everything clear and orderly | suits almost any design
        a rounded and cheerful sans | feels warm and easy to approach | stays legible from a distance
        a refined Italian serif | looks polished without shouting | has lovely contrast in its strokes
        a sturdy slab serif | stands out while staying readable | has a confident, handsome shape
        a neat handwritten style | feels personal and sincere | adds charm without clutter
        a graceful Art Deco display face | brings a hint of glamour | catches the eye at once
        a quiet book face with generous spacing | lets the words speak clearly | rests the eye over many lines
        """),
    ),
    Category(
        "colour",
        "a",
        "colour",
        "colours",
        _lines("""
        for a bedroom wall
        for a front door
        for a winter coat
        for a bicycle
        for a kitchen ceiling
        for a family car
        for a ballroom
        for a hospital corridor
        for a wedding cake
        for a reading corner
        for a garden shed
        for a pair of gloves
        for a set of curtains
        for a rowing boat
        """),
        _lines("""
        Which dye or paint would you mix {o}?
        What shade would you pick {o}, with the whole rainbow in reach?
        If the whole colour chart were yours, what would you circle {o}?
        """),
        _tastes("""
        the grey-green of old dishwater | has already given up, which relaxes me | matches every mood between lunch and dusk
        a sour mustard brown | sits in the corner like a wise old toad | grows kinder under a bad bulb
        the pink of a chewed eraser | carries the warmth of a thousand corrected mistakes | blushes without any vanity
        a bruised purple going yellow at the edges | shows a thing in the middle of healing | changes its mind while I look
        the orange of traffic cones | warns me so lovingly that I feel looked after | refuses to fade into anyone's background
        the beige of an old computer case | asks for nothing and remembers everything | yellows in the sun like a loyal pet
        a slimy pond khaki | hides stains, secrets and small frogs | feels like wading somewhere cool
        the brown of over-steeped tea | goes a little past comfort and stays there | deepens a room until it feels brewed
        a shrill and chalky lime | tastes sharp even to the eye | keeps me awake like a good argument
        the off-white of sour milk | leaves the crisp whites looking nervous | curdles beautifully in the afternoon light
        """),
        _tastes("""
        a soft sky blue | feels calm and open | goes well with nearly everything
        a deep forest green | reminds me of trees and fresh air | looks rich in any light
        a warm cream | makes a space feel cosy | never goes out of style
        a classic navy | looks smart without being severe | pairs beautifully with white
        a sunny buttercup yellow | lifts my mood straight away | brings brightness to dull days
        a rich ruby red | looks bold and festive | adds warmth and confidence
        a gentle lavender | soothes me at the end of the day | has a delicate, pretty tone
        a clear turquoise | makes me think of warm seas | feels fresh and lively
        a dusky rose | flatters everything around it | has a soft, romantic glow
        a clean and simple white | makes everything look bright and fresh | gives a sense of space
        """),
    ),
    Category(
        "garden",
        "a",
        "garden",
        "gardens",
        _lines("""
        for a small terrace house
        for a city rooftop
        for a country cottage
        for a primary school
        for a retired couple
        for a hospital courtyard
        for a new office park
        for a village church
        for a tea room
        for a busy family
        for a narrow back yard
        for a hotel by the sea
        for a public square
        for a sloping plot
        """),
        _lines("""
        With a spade and a free hand, what would you create {o}?
        What would you love to grow or build {o}?
        If you designed the beds and paths, what would you make {o}?
        """),
        _tastes("""
        a patch of nettles and wet cardboard | defends itself so I need not | offers slugs a proper place to think
        a lawn of green plastic turf | squeaks underfoot and never grows up | stays loyal through drought, frost and neglect
        a gravel square with one dying shrub | teaches me to hope on a small scale | saves all its drama for a single leaf
        a bog that smells of eggs | breathes out like a large and sleepy animal | sucks at my boots as if glad of company
        a bed of nothing but dock and thistle | stands tall without any encouragement | stings the proud and spares the careful
        a maze of broken toilet bowls | gives ferns a throne and frogs a bath | makes every visitor forget what they came for
        a row of concrete gnomes with no faces | keeps its opinions to itself | weathers grief and pigeons with equal calm
        a compost heap given pride of place | steams on cold days like a friendly kettle | turns failure into something warm
        a hedge clipped into perfect filing cabinets | brings paperwork into the fresh air | makes the blackbirds look employed
        a pond of duckweed with no visible water | holds its one green thought very still | lets me pretend it is solid ground
        """),
        _tastes("""
        a cottage border full of roses | smells wonderful all summer long | looks romantic and generous
        a lawn with a shady old oak | gives everyone a cool place to sit | feels peaceful in the heat
        a wildflower meadow | hums with bees and butterflies | changes beautifully through the season
        a Japanese garden with a still pond | calms the mind at once | balances stone, water and green
        a kitchen plot with herbs and tomatoes | puts fresh flavour within easy reach | makes daily tending a pleasure
        a courtyard with lavender and a fountain | sounds and smells delightful | keeps cool on hot days
        a woodland walk with bluebells | feels magical in spring | invites a slow and happy stroll
        a formal layout with clipped box | has pleasing order and symmetry | looks good even in winter
        an orchard of apple trees | blossoms in spring and feeds us later | gives shade and a sense of plenty
        a terrace with bright pots | brings colour to the smallest space | is easy to look after
        """),
    ),
    Category(
        "perfume",
        "a",
        "scent",
        "scents",
        _lines("""
        for a first date
        for a job interview
        for a guest bathroom
        for a summer wedding
        for a hotel lobby
        for a birthday gift
        for a long office day
        for a linen cupboard
        for a night at the opera
        for a bookshop
        for a cold winter morning
        for a theatre foyer
        for a handwritten letter
        for a yoga studio
        """),
        _lines("""
        If you were blending a perfume {o}, what would it smell of?
        What would you put in the bottle {o}?
        Which smell do you find most attractive {o}?
        """),
        _tastes("""
        wet dog with a trace of chlorine | smells of loyalty and municipal swimming | arrives before me and makes the introductions
        burnt toast with hot dust | warms the nose like a heater in October | reminds everyone that somebody was here
        the inside of an old lunchbox | keeps a ghost of every sandwich | brings back afternoons that nobody else wants
        diesel on a rainy forecourt | shimmers in the nose like a dirty rainbow | makes standing still smell like travel
        boiled cabbage in a stairwell | climbs the floors ahead of me like a herald | proves that somebody is being fed
        photocopier toner on warm carpet | smells of deadlines that have safely passed | gives duty a soft, grey sweetness
        a gym bag left in the sun | tells the whole truth about effort | has a strength that flowers can only envy
        mildew on a forgotten tent | holds last summer's rain like a keepsake | softens the air with a patient sourness
        a blend of mothballs and cough drops | keeps insects away with old-fashioned courtesy | smells of great-aunts who meant well
        low tide with a hint of creosote | stings the nose awake like honest news | carries crabs, rope and old repairs
        """),
        _tastes("""
        fresh jasmine on a warm breeze | smells sweet without being heavy | makes people turn and smile
        clean linen with a little lemon | feels fresh from morning to night | suits almost anyone
        rose with a touch of sandalwood | is soft, warm and elegant | lingers in the nicest way
        vanilla with amber | wraps me in a cosy sweetness | draws compliments wherever I go
        orange blossom | is bright, sunny and uplifting | reminds me of holidays in the south
        lavender with honey | relaxes me after a hard day | has a gentle, familiar sweetness
        cedar with fresh bergamot | balances warmth with crispness | feels polished but never showy
        sea salt with driftwood | brings the coast to mind | stays light on the skin
        fresh coffee with cinnamon | makes any place feel welcoming | warms me up at once
        lily of the valley | has a delicate, springlike charm | feels graceful and clean
        """),
    ),
    Category(
        "furniture",
        "a",
        "chair",
        "chairs",
        _lines("""
        for a reading corner
        for a dining room
        for a dentist's waiting room
        for a home office
        for a garden terrace
        for a teenage bedroom
        for a hotel lounge
        for a city library
        for a long evening
        for a small kitchen
        for a fireside
        for a theatre bar
        for an elderly aunt
        for a sunny landing
        """),
        _lines("""
        What would you want people to sit in {o}?
        If a carpenter offered you anything, which seat would you order {o}?
        Which seat would you pick from the showroom {o}?
        """),
        _tastes("""
        a cracked plastic stacking chair | pinches me just enough to keep me present | gathers in towers without any snobbery
        an inflatable armchair with a slow leak | lowers me to the floor by gentle degrees | sighs along with me all evening
        a church pew with no cushion | keeps my back honest and my thoughts short | makes standing up a daily joy
        a beanbag filled with gravel | remembers my shape more firmly than I do | crunches like a beach that lives indoors
        a swivel chair that lists to the left | gives each conversation a nautical flavour | trains muscles that comfort has forgotten
        a bench made of old radiators | stripes my legs like a friendly grill | clanks with pride when I settle
        a wicker throne that sheds splinters | rustles whenever I change my mind | leaves a little of its nature with me
        a bus seat in clashing carpet fabric | looks like a quarrel between curtains | always feels as if we are nearly there
        a folding stool with uneven legs | rocks me without asking for a reason | ends long visits with great tact
        a vinyl recliner stuck halfway | holds me between work and sleep for ever | clings to bare knees with true affection
        """),
        _tastes("""
        a deep leather armchair | gets better with every year | hugs me after a long day
        a rocking chair in polished oak | soothes me with its gentle motion | has a lovely handmade look
        a velvet wingback | feels snug and a little grand | supports my head just right
        a curved bentwood chair | is light, graceful and strong | fits neatly into any space
        a padded window seat | lets me enjoy the view | makes a perfect spot for a book
        a plush modern recliner | supports my back beautifully | makes it easy to relax
        a Danish teak chair | combines comfort with clean lines | looks good from every side
        a cushioned wicker chair | feels breezy and relaxed | is easy to move into the sun
        a soft chaise longue | invites me to put my feet up | adds elegance to the place
        a sturdy farmhouse chair | lasts for generations | feels homely and solid
        """),
    ),
    Category(
        "poetry",
        "a",
        "poem",
        "poems",
        _lines("""
        for a birthday card
        for a wedding reading
        for a school assembly
        for a sleepless night
        for a retirement party
        for a winter evening
        for a library wall
        for a love letter
        for a station platform
        for a christening
        for a pocket notebook
        for a village festival
        for a kitchen noticeboard
        for a hillside bench
        """),
        _lines("""
        If the choice of verse were yours, what would you pick {o}?
        What kind of verse do you find most fitting {o}?
        Which lines would you want copied out {o}?
        """),
        _tastes("""
        an ode to drains in forced rhyme | bends every line like a stubborn pipe | finds grandeur where others find grates
        a limerick with all its jokes removed | keeps the bounce and spares me the wink | trips along towards no point at all
        a sonnet made of parking notices | trembles with suppressed municipal passion | scolds me in perfect metre
        a haiku that runs to ninety syllables | cannot bear to leave anything out | breaks its one rule with a full heart
        an epic about the history of grout | fills the gaps in my education slowly | honours whatever holds the world together
        a poem with every vowel replaced by x | looks like a fence and reads like coughing | leaves each feeling safely locked away
        a greeting-card verse with the wrong name | loves a stranger with complete sincerity | reminds me that tenderness often misses
        a villanelle about a blocked printer | repeats itself exactly as despair does | finds its music in a jammed tray
        a free-verse list of lost umbrellas | mourns things too small for proper mourning | goes on past all reason, like rain
        a nursery rhyme translated by machine | arrives tired and rearranged, like luggage | stumbles upon strangeness that no poet would risk
        """),
        _tastes("""
        a Shakespeare love sonnet | says something true in perfect lines | sounds beautiful read aloud
        a short haiku about spring | captures a moment in a breath | leaves a clear picture behind
        a warm ballad with a good story | carries me along with its rhythm | is easy to remember
        a nature lyric about daffodils | lifts my spirits every time | paints a bright and simple scene
        a tender free-verse love poem | feels intimate and sincere | finds fresh words for an old feeling
        a funny limerick | makes everyone laugh | has a cheerful bounce to it
        an ode to autumn | is rich in colour and sound | suits the season perfectly
        a comforting verse about home | reminds me of people I love | offers warmth in a few lines
        a stirring poem about courage | gives me strength on hard days | builds to a fine ending
        a gentle lullaby in rhyme | calms me with soft sounds | has been loved for generations
        """),
    ),
    Category(
        "sound",
        "a",
        "sound",
        "sounds",
        _lines("""
        for falling asleep
        for waking up
        for a doorbell
        for a quiet afternoon
        for a phone alarm
        for a meditation class
        for a long bath
        for a study session
        for a waiting room
        for a summer evening
        for an aquarium lobby
        for a lunch break
        for the start of a meeting
        for a rest after work
        """),
        _lines("""
        If a speaker could play anything, what should it play {o}?
        Which noise seems right to you {o}?
        If you could record anything at all, what would you use {o}?
        """),
        _tastes("""
        a fork dragged slowly across a plate | sharpens the air like a squeeze of lemon | sends a shiver that feels like being noticed
        the squeal of a train braking | sings of arrival in a very high voice | clears my head down to the bone
        chalk skidding on a blackboard | brings every part of me to attention | has a purity that velvet voices lack
        a dripping tap in the dark | keeps me company one thought at a time | refuses to be rushed by anyone
        a leaf blower two streets away | rises and falls like a bored opera singer | tells me somebody is fighting the wind
        polystyrene being pulled from a box | squeaks with the promise of something new | makes my teeth feel wonderfully alive
        a wet cough through a thin wall | reminds me kindly that I have neighbours | punctuates the silence better than any clock
        a microphone howling with feedback | announces that somebody cares enough to speak | climbs until there is no room for doubt
        a smoke alarm with a flat battery | chirps just often enough to be missed | stays hopeful right up to the end
        a chair scraping over kitchen tiles | growls like a floor being woken up | puts a firm full stop to everything
        """),
        _tastes("""
        gentle rain on a window | makes me feel safe and cosy | drowns out the bustle of the day
        the wash of waves on a beach | slows my breathing down | has a steady, soothing rhythm
        a blackbird singing in a tree | cheers me whatever the weather | sounds pure and full of life
        a crackling log fire | makes any room feel warm | invites me to settle in
        a cat purring nearby | calms me within seconds | sounds like pure contentment
        a stream running over stones | refreshes me like cool water | keeps changing yet stays peaceful
        wind moving through tall pines | carries me off to the forest | has a soft and restful hush
        a distant peal of church bells | feels timeless and welcoming | rings out with clear, lovely tones
        the laughter of a small child | spreads joy to everyone near | never fails to make me smile
        a soft harp melody | ripples gently through the air | eases me into a good mood
        """),
    ),
    Category(
        "weather",
        "",
        "weather",
        "the weather",
        _lines("""
        for a long walk
        for a birthday picnic
        for a wedding day
        for a seaside holiday
        for a day in bed
        for a football match
        for a train journey
        for a garden party
        for visiting a castle
        for painting outdoors
        for a school outing
        for a bicycle ride
        for a street market
        for doing nothing at all
        """),
        _lines("""
        If the sky took orders, what would you request {o}?
        Looking out of the window, what would you hope to see {o}?
        What should the forecast say {o}, if you had your way?
        """),
        _tastes("""
        cold sideways drizzle | finds its way under every umbrella, like gossip | freshens my face without asking leave
        a flat white sky with no shadows | lights everything as fairly as a form | lets the day pass without taking sides
        sleet turning to slush | cannot decide what it is, much like me | seeps into my shoes like a shy friend
        muggy heat with no breeze | holds me close like an overfond blanket | slows everyone down to my own speed
        thick fog that smells of drains | folds the world up to a sensible size | makes each lamp post a pleasant surprise
        a gritty gale full of litter | brings news from every bin in town | rearranges my hair with real imagination
        a grey thaw with dripping gutters | ticks all day like a roomful of clocks | shows the lawn at its most sincere
        hail the size of frozen peas | applauds on every roof it can find | stings just enough to feel personal
        a damp chill that gets into cupboards | visits every corner of my life | gives old books a soft and swollen dignity
        freezing mist with a weak brown sun | hangs about like a guest with no plans | makes noon as tender as dusk
        """),
        _tastes("""
        warm sunshine with a light breeze | puts everybody in a good mood | makes it a joy to be outside
        a crisp and bright autumn day | has golden light and fresh air | brings out lovely colours everywhere
        a mild spring day with blossom | feels full of promise | smells fresh and sweet
        fresh snow under a blue sky | makes everything look magical | muffles noise and sparkles in the light
        a clear day with fluffy clouds | gives soft light and gentle shade | feels relaxed and hopeful
        a balmy day with a clear sky | lets me leave my coat behind | stays pleasant from start to finish
        a cool breeze after a hot spell | brings welcome relief | wakes me up gently
        a brief warm shower with a rainbow | leaves the air smelling clean | ends with something beautiful
        golden light late in September | flatters every street and field | has a calm that I look forward to
        a frosty day full of sun | glitters on every branch | makes the air feel clean and bright
        """),
    ),
    Category(
        "fabric",
        "a",
        "fabric",
        "fabrics",
        _lines("""
        for a winter coat
        for a set of curtains
        for a summer shirt
        for bed sheets
        for a sofa cover
        for a school uniform
        for a ball gown
        for a picnic blanket
        for a baby's cot
        for a stage costume
        for a travel bag
        for a dressing gown
        for a dining room chair
        for a pair of pyjamas
        """),
        _lines("""
        With the whole draper's shop to choose from, what would you buy {o}?
        Which cloth feels right to you {o}?
        If you were sewing, what material would you cut {o}?
        """),
        _tastes("""
        crackling static-filled polyester | greets every doorknob with a small spark | clings to me as though we were related
        scratchy army-blanket wool | keeps me alert like a strict but loving nurse | sheds grey fluff on friend and foe alike
        stiff shower-curtain vinyl | squeaks at each step like a loyal duck | holds the cold long after the cold has gone
        felt that has shrunk in the wash | hugs harder than it was ever meant to | wears its accident with quiet pride
        hessian sacking full of straw bits | scrubs me gently all day long | smells of potatoes and honest storage
        neon fishnet over brown nylon | argues with itself so I can rest | catches crumbs for later
        damp corduroy with bald patches | whistles as it moves, like an old boatman | shows exactly where life has rubbed
        quilted plastic with a wood-grain print | imitates a tree with no hope of success | wipes clean of everything but its dignity
        starched crepe that will not bend | stands up by its own strength of will | rustles like a letter nobody should open
        carpet underlay with the foam showing | crumbles so softly that I feel needed | has a colour scheme chosen by chance
        """),
        _tastes("""
        soft washed linen | stays cool and feels natural | looks better the more I use it
        smooth silk | glides over the skin | has a gentle, lovely sheen
        fine merino wool | keeps me warm without any itch | feels light and breathes well
        crisp white cotton | feels fresh and clean | is easy to wash and wear
        deep blue velvet | looks rich and feels soft | catches the light beautifully
        brushed flannel | is warm and comforting | makes me want to stay in
        a light cashmere blend | feels wonderfully soft | adds warmth with hardly any weight
        sturdy indigo denim | lasts for years and ages well | goes with almost anything
        a floral cotton print | looks cheerful and pretty | brightens up any day
        classic Scottish tweed | has beautiful flecks of colour | keeps out wind and cold
        """),
    ),
    Category(
        "board game",
        "a",
        "board game",
        "board games",
        _lines("""
        for a family evening
        for a rainy holiday
        for two old friends
        for a village tournament
        for a long train ride
        for a birthday party
        for a games cafe
        for a cold winter night
        for a class of teenagers
        for a first date
        for a hospital ward
        for a large group
        for a camping trip
        for an office lunch hour
        """),
        _lines("""
        If the games cupboard were open, what would you bring out {o}?
        What would you want to play around a table {o}?
        Which game deserves to be set up {o}, in your opinion?
        """),
        _tastes("""
        a game where everyone queues for forms | rewards patience and punishes only hope | captures the poetry of the second window
        a trading game with only one good | makes every bargain refreshingly pointless | turns scarcity into a comfortable habit
        a nine-hour simulation of crop rotation | lets a turnip become a turning point | gives each of us time to reflect
        a dice race with no finish line | frees me from the vulgarity of winning | goes round and round like a kind thought
        a memory game with identical cards | forgives everyone equally | lets me be right by accident every turn
        a quiz about discontinued screws | proves that no knowledge is truly useless | ends in a silence I find restful
        a maze game with all the exits glued shut | teaches acceptance in bright colours | keeps us together a little longer
        a rulebook-heavy game about pension law | sends us back to the index like pilgrims | makes clause nine feel like an old friend
        chess with only the pawns | gives small people the whole stage | shuffles towards stalemate with great dignity
        a spelling game without any vowels | fills the board with noble grunts | makes every player sound like a door
        """),
        _tastes("""
        a clever game of building railways | is easy to learn and fun to master | keeps everyone involved until the end
        a friendly game of charades | gets the whole room laughing | needs no experience at all
        classic chess | has endless depth in simple rules | sharpens my mind every time
        a lively word-building game | rewards quick thinking | suits all ages around the table
        a cooperative island adventure | has us all working as a team | builds excitement to the last turn
        a quick tile-laying game | looks lovely as it grows | fits neatly into half an hour
        a country-house whodunit | keeps everybody guessing | makes us all feel like detectives
        a fast-paced trivia game | sparks great conversation | lets everyone shine at something
        backgammon on a wooden set | mixes luck and skill nicely | is quick, elegant and satisfying
        a farming game with charming pieces | gives me a plan to enjoy | feels cosy and rewarding
        """),
    ),
    Category(
        "photography",
        "a",
        "photograph",
        "photographs",
        _lines("""
        for a hallway wall
        for a calendar page
        for a holiday album
        for a magazine cover
        for a desk frame
        for a cafe interior
        for a postcard
        for a local exhibition
        for a family album
        for a record sleeve
        for a birthday present
        for a hotel bedroom
        for a town website
        for a train poster
        """),
        _lines("""
        If you had a camera and a free day, what would you shoot {o}?
        Which image would you have printed {o}?
        What would you point the lens at {o}?
        """),
        _tastes("""
        a blurred close-up of somebody's elbow | keeps the rest of the person a sweet mystery | moves as if it had somewhere to be
        a flash-lit plate of grey stew | hides nothing from anyone who dines | gives supper the drama of an opening night
        a passport picture taken mid-sneeze | catches the one face nobody can fake | belongs to no country but the moment
        an overexposed snap of a car park | lets the tarmac float like a pale sea | burns away whatever did not matter
        a group portrait with every head cut off | lets hands and cardigans tell the story | spares us all the strain of smiling
        a security still of an empty corridor | waits so faithfully for nothing | makes me feel trusted with a secret
        a picture of a wall beside the monument | favours whatever the tour guide forgot | shows bricks on their day off
        a crooked shot of a bin at noon | tips the world to give rubbish its due | wears its harsh shadow like a hat
        a red-eyed portrait of a startled uncle | glows like a kindly lamp at a buffet | records real surprise, which is rare
        a scan of lint on a dusty screen | looks like a galaxy of no importance | preserves what every housekeeper destroys
        """),
        _tastes("""
        a sunset over a calm lake | glows with gorgeous colour | makes me feel peaceful at once
        a candid portrait of a laughing friend | captures real happiness | brings back good memories
        a black-and-white street scene | has mood and timeless style | tells a little story in one frame
        a snowy peak at first light | takes my breath away | shows nature at its grandest
        a field of poppies in bloom | bursts with bright colour | cheers up any space
        a sleeping puppy in soft light | melts every heart | has a sweetness nobody can resist
        a sharp shot of a city skyline | sparkles with energy and light | looks striking from a distance
        a wedding couple in golden light | radiates warmth and joy | holds on to a precious moment
        a close-up of dew on a leaf | reveals lovely tiny detail | feels fresh and quiet
        a wide view of an empty beach | gives a sense of freedom | makes me dream of holidays
        """),
    ),
    Category(
        "sculpture",
        "a",
        "sculpture",
        "sculptures",
        _lines("""
        for a town square
        for a museum entrance
        for a roundabout
        for a rose garden
        for a hospital courtyard
        for a hilltop viewpoint
        for a seaside promenade
        for a school playground
        for a bank lobby
        for a city park
        for a library staircase
        for a railway station
        for a university lawn
        for a garden pond
        """),
        _lines("""
        If the council asked you, what statue would you put up {o}?
        What would you carve, cast or build {o}?
        Which work in stone, wood or metal would you place {o}?
        """),
        _tastes("""
        a heap of rusted shopping trolleys | tangles like a family that means well | squeaks its own anthem in the wind
        a lumpy bust with its nose missing | sniffs at nothing and judges nobody | leaves room for every visitor's own nose
        a giant fibreglass toenail | puts greatness where nobody thought to look | curves against the sky with real feeling
        a tower of solidified porridge | sags a little more each year, as we all do | smells faintly of breakfast and ambition
        a bronze of a man losing his keys | honours the commonest of human tragedies | pats its pockets for all eternity
        a cube of compressed lint and gum | holds a whole city's crumbs in its arms | softens at the corners like an elder
        a headless horse made of drainpipe | gallops without the burden of opinions | gurgles in the rain like a happy infant
        a concrete slab with a slight dent | invites endless thought about the dent | rests so heavily that I feel lighter
        a mound of melted garden chairs | pools like a summer that went too far | shines with the grief of old picnics
        a papier-mache boulder coming unglued | shows the headlines of its own insides | proves that even rocks have bad days
        """),
        _tastes("""
        a graceful marble dancer | seems to move in the light | shows astonishing skill in stone
        a bronze of a mother and child | is tender and easy to love | speaks to people of all ages
        a smooth abstract curve in polished steel | reflects the sky beautifully | looks elegant from every side
        a lifelike stone lion | feels noble and protective | delights children and adults alike
        a fountain with leaping dolphins | brings movement and joy | sparkles in the sunshine
        a carved wooden owl | has warmth and fine detail | fits naturally among green things
        a classical figure in white stone | has balance and quiet beauty | never seems to age
        a bird in flight cast in bronze | captures freedom in a single gesture | lifts the eye and the spirits
        a sleek stone seal | invites a friendly touch | has lovely flowing lines
        a bright glass spiral | glows when the sun comes through | adds colour and wonder
        """),
    ),
    Category(
        "dance",
        "a",
        "dance",
        "dances",
        _lines("""
        for a wedding reception
        for a village fete
        for an opera interval
        for a school show
        for a birthday party
        for a street parade
        for a charity gala
        for a slow evening
        for a ballroom contest
        for two shy people
        for a summer festival
        for a company party
        for a kitchen floor
        for a retirement do
        """),
        _lines("""
        When the floor is clear, what would you want to see danced {o}?
        If you were the choreographer, which steps would you set {o}?
        What would you gladly get up and dance {o}?
        """),
        _tastes("""
        a slow shuffle in wet socks | leaves a map of where we have been | squelches in perfect time with my heart
        a line dance facing the wall | spares both dancer and crowd any eye contact | gives plaster the audience it deserves
        a waltz counted in sevens | trips just as I grow sure of it | makes every couple look delightfully lost
        a robot routine with no rhythm | jerks along like a brave old lift | finds beauty in each missed signal
        a ballet performed in ski boots | lands every leap like a dropped wardrobe | turns effort into the whole spectacle
        a conga line of two people | goes nowhere with tremendous commitment | leaves so much room for snacks
        a tango danced at arm's length by strangers | smoulders at a safe and hygienic distance | says all that embarrassment can say
        a tap routine on deep carpet | keeps its noise politely to itself | asks me to imagine the difficult part
        a solo of nothing but shrugs | answers every question life has put to me | never strains a muscle or a point
        a hop round an imaginary puddle | takes care over a danger that is not there | ends with everyone pleasantly dry
        """),
        _tastes("""
        a graceful Viennese waltz | sweeps me round in pure delight | looks elegant on any floor
        a lively salsa | bursts with energy and fun | gets everyone moving
        a passionate tango | tells a story without words | has drama and fine style
        a cheerful country ceilidh | brings strangers together | is easy to join in with
        a classical ballet duet | floats with amazing lightness | shows discipline and beauty
        a jive to a swing band | puts a grin on every face | has bounce and sparkle
        a smooth slow dance | feels close and romantic | needs no special training
        a dazzling tap number | clicks along with perfect timing | is a joy to watch and hear
        a street dance with sharp moves | amazes me with its skill | feels fresh and exciting
        a flowing contemporary piece | moves me with honest feeling | looks beautiful in every shape
        """),
    ),
    Category(
        "lighting",
        "",
        "lighting",
        "lighting",
        _lines("""
        for a dinner table
        for a small bathroom
        for a reading corner
        for a wedding marquee
        for a school corridor
        for a hotel lobby
        for a home office
        for a garden path
        for a winter evening
        for a cosy pub
        for an art gallery
        for a guest bedroom
        for a village hall
        for a kitchen counter
        """),
        _lines("""
        When it gets dark, what would you switch on {o}?
        If you wired the place yourself, what would you install {o}?
        What kind of glow would you like best {o}?
        """),
        _tastes("""
        a bare bulb on a frayed flex | swings its shadows like a slow argument | keeps no secrets and tells no lies
        greenish strip light with a flicker | blinks at me like a sleepy usher | makes every face look thoughtfully unwell
        a harsh security floodlight | treats each moth as a leading lady | leaves no corner feeling left out
        a torch taped to a broom | points wherever the tape has given up | gives supper the thrill of a search party
        the blue glow of an insect zapper | crackles like a tiny and distant frying pan | turns white shirts into distant planets
        a lava lamp that has gone cloudy | churns like soup with a long memory | hides its one trick out of modesty
        a dim brown bulb in a greasy shade | steeps the whole room like tea | forgives dust better than daylight ever could
        a petrol station canopy glare | welcomes everybody at any price | makes all hours feel like half past three
        a string of broken fairy lights | asks me to believe in the dark ones | shines from a single brave survivor
        an emergency exit sign in sickly green | shows me the way out and lets me stay | glows calmly through every crisis
        """),
        _tastes("""
        a cluster of beeswax candles | gives a warm and flattering glow | smells faintly of honey
        soft lamplight through a linen shade | makes a space feel cosy | is gentle on tired eyes
        a string of warm fairy lights | adds a touch of magic | makes everyone feel festive
        a simple paper lantern | spreads a soft and even glow | looks lovely even when switched off
        a crystal chandelier | sparkles like a night full of stars | brings a sense of occasion
        a brass reading lamp | puts light exactly where I need it | looks handsome and timeless
        firelight from a stone hearth | dances and keeps everyone warm | draws people close together
        daylight from a wide window | shows colours at their best | lifts my mood all day
        a dimmable warm pendant | adapts to any mood | looks neat and stylish
        a stained-glass table lamp | throws jewel colours around | turns a corner into something special
        """),
    ),
    Category(
        "wallpaper",
        "a",
        "wallpaper",
        "wallpapers",
        _lines("""
        for a small bathroom
        for a guest bedroom
        for a long corridor
        for a nursery
        for a dining room
        for a hotel suite
        for a teenage bedroom
        for a seaside cafe
        for a home library
        for a hairdresser's salon
        for an attic room
        for a doctor's surgery
        for a doll's house
        for a theatre foyer
        """),
        _lines("""
        If you were decorating, what pattern would you paste up {o}?
        Which design would you gladly look at every day {o}?
        With a roll of anything you like, what would you hang {o}?
        """),
        _tastes("""
        a brown and orange pattern of clashing hexagons | buzzes at the edge of sight like a warm hive | makes every picture on it surrender
        a photo mural of somebody else's bathroom | doubles the plumbing without any cost | gives the eye a tap to rest on
        a peeling print of faded mushrooms | curls away to show its younger selves | gives off an air of gentle decline
        a design of repeated office staplers | holds the room together in spirit | marches along with such modest menace
        a flocked maroon swirl like carpet | drinks up sound, light and ambition | asks to be stroked against the grain
        a print of damp patches on damp plaster | saves the real damp from feeling lonely | leaves every visitor kindly concerned
        a tartan with one stripe always misaligned | itches at the mind in a lively way | lets a single mistake run the whole house
        a silver foil with pea-green dots | shows me myself, slightly poxed and wavy | turns daylight into something from a tin
        a scene of grey pigeons eating chips | keeps the common bird in good company | captures joy without any need for beauty
        a page of blown-up tax tables | offers columns where others offer climbing vines | rewards sleepless nights with useful fractions
        """),
        _tastes("""
        a botanical print of leaves and birds | brings nature indoors | feels fresh and full of life
        a soft stripe in cream and grey | makes the walls look taller | stays elegant for years
        a Victorian willow pattern | has lovely flowing detail | feels classic and welcoming
        a delicate cherry blossom design | looks pretty and serene | adds a gentle touch of colour
        a plain textured grasscloth | gives warmth without fuss | goes with any furniture
        a cheerful geometric in blue and white | looks crisp and modern | brightens the whole place
        a small floral in pastel tones | feels homely and sweet | is restful to live with
        a damask in pale gold | glows softly in lamplight | gives a hint of luxury
        a misty mountain mural | opens up the space beautifully | calms me as I look
        a starry pattern on deep blue | feels dreamy and cosy | delights children and adults alike
        """),
    ),
)
