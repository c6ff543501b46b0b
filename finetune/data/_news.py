"""Word and frame tables of the invented news articles: pure data, read by `articles.py`.

In a template `{p}` and `{q}` are full names and `{s}` is the surname of `{p}`. A slot that a summary uses must be in
every wording of some sentence of its frame, so that the summary never knows more than the text. "" leaves a sentence
out. "a" may be written for "an"; `articles.py` settles it by the word drawn. A frame's own slot replaces a common one.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Frame(NamedTuple):
    """One story: its slots, the wordings of each sentence in order, and summaries by shape."""

    slots: dict[str, Sequence[str] | range]
    sentences: tuple[tuple[str, ...], ...]
    summaries: dict[str, str]


# fmt: off
TOWNS = (
    "Harrowmere", "Pellbridge", "Quillhaven", "Brackenlow", "Ardlesham", "Corvane", "Dunmarrow", "Elsinby", "Fennacre",
    "Gorsewell", "Iverstoke", "Kelderby", "Lorriton", "Marrowgate", "Oxbarrow", "Quernby", "Saltrey", "Thornavon",
    "Ulverdale", "Yarrowick", "Zellmoor", "Castrin", "Wendlebrook", "Hollowford", "Tarnesley", "Birchover", "Skellmoor",
    "Norrowby", "Vexley", "Amberleigh", "Crowmarket", "Dapplewick", "Eddersham", "Foxhallow", "Grindlemere", "Hexmarsh",
    "Jessamy", "Kittlebeck", "Larkstone", "Mossenden", "Otterwade", "Pinnacre", "Rookhallow", "Sorrelby",
    "Tansley-Moor", "Umberfold", "Wickenthorpe", "Yelderton",
)
PORTS = (
    "Velmouth", "Saltholm", "Ostrand", "Gullhaven", "Corramouth", "Brinescar", "Lantermouth", "Skerrow", "Tidewick",
    "Marlhaven", "Pollacreek", "Windsound", "Harbrough", "Kelpstrand", "Anchorby", "Drifthaven", "Ebbmouth",
    "Fairskerry", "Limpetsea", "Northstrand",
)
RIVERS = (
    "Aldren", "Tessle", "Morrow", "Wyndle", "Kerrin", "Sallow", "Brindle", "Ouvel", "Farrin", "Hespel", "Lunwater",
    "Dorrin",
)
STREETS = (
    "Tanner Street", "Bellgate", "Mill Lane", "Chandler Row", "Gallows Hill", "Orchard Road", "Weaver Street",
    "Station Parade", "Potter Lane", "Abbey Walk", "Cooper Street", "Lantern Road", "Quarry Bank",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)
FIRST_NAMES = (
    "Ada", "Bram", "Celia", "Dorian", "Elspeth", "Farid", "Greta", "Hamish", "Imke", "Jonas", "Kezia", "Lorcan",
    "Mirela", "Nadim", "Odile", "Piers", "Quentin", "Rosalind", "Soren", "Tamsin", "Umar", "Verity", "Wilfred", "Xenia",
    "Yusuf", "Zelda", "Anouk", "Basil", "Corin", "Delphine", "Edmund", "Fenna", "Gideon", "Hester", "Idris", "Juno",
    "Kaspar", "Linnea", "Marek", "Nerys",
)
LAST_NAMES = (
    "Tarrigan", "Oswick", "Brandlemoor", "Quillander", "Pardieu", "Vellacombe", "Hartshollow", "Mossingham",
    "Drewitt-Lane", "Okarande", "Fennimoor", "Castellow", "Wrayburne", "Inskipper", "Lorrimond", "Aldershawe",
    "Zabrinski", "Pettifold", "Gravenhurst", "Sandovary", "Thackwell", "Umberley", "Norquill", "Elderfield-Rao",
    "Yarborne", "Kestleman", "Dunnaby", "Marchbank-Osei", "Rookwell", "Saltmarsh", "Birdwhistle", "Coppersmythe",
    "Hollingdrake", "Jessopar", "Larkmoor", "Ondurai", "Pennyfeather", "Ruddleston", "Tolvane", "Whitlowe",
)
# fmt: on

_SMALL = ("two", "three", "four", "five", "six", "seven", "eight", "nine")

_COUNCIL = (
    Frame(
        slots={
            "plan": (
                "turn the old cattle market into a covered square",
                "resurface every footpath in the town park",
                "replace the street lamps with dimmer ones",
                "lay a cycle lane along the river front",
                "move the weekly market back to the old square",
                "plant a community orchard by the allotments",
            ),
            "ayes": range(11, 20),
            "noes": range(3, 10),
            "cost": range(40, 400, 10),
            "rival": ("bus shelters", "public baths", "flood wall", "town hall roof", "youth club"),
        },
        sentences=(
            (
                "Councillors in {town} voted by {ayes} to {noes} on {day} to {plan}.",
                "The council in {town} is to {plan} after a vote of {ayes} to {noes} on {day} night.",
            ),
            (
                "The scheme will cost {cost},000 crowns and should be finished by {month}.",
                "Work is due to end in {month}, at a cost of {cost},000 crowns.",
            ),
            (
                "Councillor {p}, who brought the motion, had argued for it since the last election.",
                "It was brought by Councillor {p}, who has pressed for it for two years.",
            ),
            (
                '"People have waited long enough, and tonight they got a straight answer," said {s}.',
                '"This was never about party, only about doing what we promised," said {s}.',
            ),
            (
                "Opponents led by {q} said that the money should have gone to the {rival}.",
                "A group around {q} had wanted the money spent on the {rival} instead.",
            ),
        ),
        summaries={
            "headline": "By {ayes} votes to {noes}, {town} council backs {cost},000-crown scheme to {plan}.",
            "subject": "Councillors in {town} have agreed to {plan}, despite calls to spend the money on the {rival}.",
            "passive": "A proposal to {plan} was approved in {town} and should be completed by {month}.",
            "place": "In {town}, a divided council has voted to {plan} at a cost of {cost},000 crowns.",
            "clause": "After a vote of {ayes} to {noes}, {town} will {plan} in a scheme brought by Councillor {p}.",
            "contrast": "Although {q} wanted the money for the {rival}, the council in {town} chose to {plan}.",
        },
    ),
    Frame(
        slots={
            "thing": (
                "a car park charge at weekends",
                "a ban on busking after dark",
                "a fee for garden waste",
                "new opening hours for the library",
                "a lower speed limit on the ring road",
            ),
            "letters": range(210, 980, 10),
            "weeks": _SMALL[1:],
        },
        sentences=(
            (
                "A plan for {thing} in {town} has been put on hold after {letters} residents wrote to object.",
                "After {letters} letters of protest, {town} council has shelved its plan for {thing}.",
            ),
            (
                "The leader of the council, {p}, announced the pause at a meeting on {day}.",
                "{p}, who leads the council, told a full public gallery on {day} that the idea needed more work.",
            ),
            (
                '"We listened, and what we heard was a very firm no," said {s}.',
                '"I would rather be slow than wrong," said {s}, to applause from the back of the room.',
            ),
            (
                "A panel of residents will now look at other ways to balance the budget and report in {weeks} weeks.",
                "Residents will sit on a panel that is to report on other savings in {weeks} weeks.",
            ),
            (
                "Shopkeeper {q} said that the town should have been asked first.",
                "The campaign began with a notice in the window of a shop on {street} owned by {q}.",
            ),
        ),
        summaries={
            "headline": "{town} council retreats on {thing} after {letters} residents object.",
            "passive": "A plan for {thing} has been shelved in {town} and handed to a panel of residents.",
            "number": "Some {letters} objections have persuaded the council in {town} to pause its plan for {thing}.",
            "said": "The council leader in {town}, {p}, says that a plan for {thing} needs to be reconsidered.",
            "participle": "Facing a wave of complaints, {town} council has dropped {thing} for now.",
            "result": "{letters} people in {town} opposed {thing}, so a panel will seek other savings within {weeks} "
            "weeks.",
        },
    ),
    Frame(
        slots={
            "building": (
                "corn exchange",
                "bathhouse",
                "fire station",
                "customs house",
                "telephone exchange",
                "grain store",
            ),
            "buyer": ("a housing trust", "a theatre company", "a bakery", "a furniture workshop", "a climbing club"),
            "price": range(120, 900, 15),
            "years": range(12, 60),
            "jobs": range(12, 70),
        },
        sentences=(
            (
                "The former {building} in {town}, empty for {years} years, is to be sold to {buyer}.",
                "{buyer} is to buy the former {building} in {town}, which has stood empty for {years} years.",
            ),
            (
                "The council accepted an offer of {price},000 crowns at a closed session on {day}.",
                "Members agreed to a price of {price},000 crowns when they met in private on {day}.",
            ),
            (
                "The new owner expects to create {jobs} jobs and to keep the brick front as it is.",
                "Under the deal the brick front must be kept, and {jobs} jobs are promised.",
            ),
            (
                '"It was costing us a fortune just to keep the rain out," said {p}, who chairs the property committee.',
                '"An empty building is no use to anybody," said {p}, who chairs the property committee.',
            ),
            ("Local historian {q} welcomed the sale but asked that the clock be repaired.", ""),
        ),
        summaries={
            "headline": "{buyer} buys empty {building} in {town} for {price},000 crowns.",
            "passive": "The old {building} in {town} will be sold to {buyer} after {years} years without a tenant.",
            "subject": "{town} council has accepted {price},000 crowns for a {building} unused for {years} years.",
            "place": "In {town}, {buyer} plans to bring {jobs} jobs to the disused {building}.",
            "contrast": "Empty for {years} years but not for much longer, the {building} in {town} has found a buyer.",
            "there": "There will be {jobs} new jobs in {town} when {buyer} takes over the former {building}.",
        },
    ),
)

_SPORT = (
    Frame(
        slots={
            "side": ("Rovers", "Wanderers", "Athletic", "Harriers", "United"),
            "foes": ("Rangers", "Albion", "Swifts", "Corinthians", "Town"),
            "late": range(84, 91),
            "crowd": range(310, 2900, 7),
            "wins": _SMALL[1:],
        },
        sentences=(
            (
                "{town} {side} beat {town2} {foes} 2-1 on {day} with a header in the {late}th minute.",
                "A header in the {late}th minute gave {town} {side} a 2-1 win over {town2} {foes} on {day}.",
            ),
            (
                "The goal came from {p}, a substitute who had been on the pitch for less than a quarter of an hour.",
                "{p}, who had only just come on as a substitute, met a long free kick to score it.",
            ),
            (
                "A crowd of {crowd} saw the visitors lead at half-time through a penalty.",
                "The visitors had led at half-time through a penalty in front of {crowd} people.",
            ),
            (
                '"I closed my eyes and hoped," said {s} afterwards.',
                '"My mother said I would score today, and she is never wrong," said {s}.',
            ),
            (
                "The result is a run of {wins} wins for the club, its best for a decade.",
                "The club has now won {wins} matches in a row, which it last managed ten years ago.",
            ),
        ),
        summaries={
            "headline": "Late {p} header earns {town} {side} a 2-1 win over {town2} {foes}.",
            "subject": "{town} {side} came from behind to defeat {town2} {foes} and made it {wins} wins in a row.",
            "passive": "{town2} {foes} were beaten 2-1 by {town} {side} after leading at half-time.",
            "number": "Some {crowd} spectators watched a substitute, {p}, win the game late on for {town} {side}.",
            "clause": "When {p} scored in the {late}th minute, {town} {side} came back to beat {town2} {foes}.",
            "nominal": "A late goal by a substitute and a run of {wins} wins: {town} {side} are enjoying their best "
            "form for a decade.",
        },
    ),
    Frame(
        slots={
            "race": ("half marathon", "fell race", "river swim", "cycling time trial", "cross-country race"),
            "age": range(24, 63),
            "seconds": range(3, 58),
            "field": range(80, 700, 3),
            "job": ("postal worker", "baker", "student nurse", "plumber", "geography teacher", "bus driver"),
            "trouble": ("a lost shoe", "a heavy cold", "a wrong turn", "a fall at the start", "a bout of cramp"),
        },
        sentences=(
            (
                "A {job} who had never entered before has won the {town} {race} at the age of {age}.",
                "The {town} {race} has been won by a {job} of {age} who had never entered it before.",
            ),
            (
                "{p} finished {seconds} seconds ahead of the favourite on {day}, in spite of {trouble}.",
                "In spite of {trouble}, {p} crossed the line on {day} with {seconds} seconds to spare.",
            ),
            (
                '"I only signed up because a friend dared me to," said {s}.',
                '"I kept waiting for somebody to come past, and nobody did," said {s}.',
            ),
            (
                "The field of {field} was the largest that the organisers have seen.",
                "A record {field} people took part in dry and windless conditions.",
            ),
            ("The favourite, {q}, said that the better competitor had won.", ""),
        ),
        summaries={
            "headline": "First-time {job} wins {town} {race} by {seconds} seconds.",
            "subject": "{p}, a {job} aged {age}, has won the {race} in {town} at the first attempt.",
            "passive": "The {race} in {town} was won by a newcomer, {p}, in spite of {trouble}.",
            "contrast": "Despite {trouble}, a {job} beat a record field of {field} in the {town} {race}.",
            "number": "A margin of {seconds} seconds was enough for {p} to take the {town} {race}.",
            "place": "At {town}, a {job} of {age} surprised the favourite and {field} entrants in the {race}.",
        },
    ),
    Frame(
        slots={
            "club": ("rowing club", "bowls club", "hockey club", "cricket club", "gymnastics club", "judo club"),
            "sum": range(15, 95),
            "members": range(40, 320),
            "cause": (
                "a fire in the changing rooms",
                "a winter flood",
                "a storm that took the roof",
                "a burst water main",
                "subsidence under the floor",
            ),
            "means": (
                "a sponsored walk",
                "an auction of old shirts",
                "a sale of cakes",
                "a concert in the church",
                "a raffle for a hand-built boat",
            ),
        },
        sentences=(
            (
                "The {club} in {town} will reopen its home in {month}, a year after {cause}.",
                "A year after {cause}, the {club} in {town} is to reopen its home in {month}.",
            ),
            (
                "Its {members} members raised {sum},000 crowns for the repairs, much of it through {means}.",
                "Repairs cost {sum},000 crowns, raised by the {members} members with help from {means}.",
            ),
            (
                '"There were weeks when I thought we would fold," said {p}, the club secretary.',
                '"We came close to folding, and then everyone found a paintbrush," said the club secretary, {p}.',
            ),
            (
                "In the meantime the teams have trained at a school in {town2}.",
                "Rivals from {town2} lent their ground while the work went on.",
            ),
            ("The first event will be a contest for members under 12.", "An open day for beginners will follow."),
        ),
        summaries={
            "headline": "{club} in {town} to reopen in {month}, a year after {cause}.",
            "subject": "Members of the {town} {club} raised {sum},000 crowns to repair their home after {cause}.",
            "passive": "The home of the {town} {club} has been repaired with {sum},000 crowns raised by members.",
            "participle": "Helped by {means}, the {club} in {town} has paid to rebuild its home.",
            "clause": "Since {cause}, {members} members have worked to reopen the {club} in {town}.",
            "said": "The {town} {club} nearly folded after {cause}, says its secretary, {p}.",
        },
    ),
)

_WEATHER = (
    Frame(
        slots={
            "gust": range(88, 141),
            "homes": range(300, 4800, 50),
            "trees": range(11, 90),
            "hours": range(10, 40),
        },
        sentences=(
            (
                "Winds of {gust} kilometres an hour left {homes} homes in {town} without power on {day}.",
                "About {homes} homes in {town} lost power on {day} as gusts reached {gust} kilometres an hour.",
            ),
            (
                "At least {trees} trees came down, and one of them blocked {street} until the evening.",
                "Crews cleared {trees} fallen trees, the largest of them from {street}.",
            ),
            (
                "Supplies were restored after {hours} hours, and nobody was hurt.",
                "Nobody was hurt, and the lights came back on after {hours} hours.",
            ),
            (
                '"It sounded like a train going over the roof," said {p}, who lives nearby.',
                '"Our shed is now in the garden of the people next door," said {p}.',
            ),
            (
                "Forecasters expect calmer days, with a little rain from the west.",
                "Schools in the district stayed shut for the day.",
            ),
        ),
        summaries={
            "headline": "Gusts of {gust} kilometres an hour black out {homes} homes in {town}.",
            "passive": "Power to {homes} homes in {town} was cut by a gale that also felled {trees} trees.",
            "number": "Some {trees} trees fell and {homes} homes lost power when a storm hit {town}, but no one was "
            "injured.",
            "place": "In {town}, a {day} storm brought down {trees} trees and blocked {street}.",
            "subject": "A storm left part of {town} in the dark for {hours} hours without causing injuries.",
            "clause": "It took {hours} hours to restore electricity in {town} after winds brought down {trees} trees.",
        },
    ),
    Frame(
        slots={
            "days": range(24, 61),
            "level": range(21, 48),
            "ban": ("hosepipes", "garden sprinklers", "car washes", "paddling pools", "ornamental fountains"),
            "beast": ("minnows", "eels", "crayfish", "trout", "loach"),
            "dry": ("June", "July", "August", "September"),
        },
        sentences=(
            (
                "{ban} have been banned in {town} after {days} days without rain.",
                "After {days} days without rain, {town} has joined the list of places where {ban} are banned.",
            ),
            (
                "The reservoir above the town is {level} per cent full, the lowest for any {dry} on record.",
                "Records for {dry} have been broken at the reservoir, which is now only {level} per cent full.",
            ),
            ("The water board will review the rule each {day}.", "Anyone who breaks the rule may be fined."),
            (
                '"One thunderstorm would not be enough, so please go on using less," said {p} of the water board.',
                '"Use less, and treat water as if you had to carry it home," said {p} of the water board.',
            ),
            (
                "Volunteers have begun to move {beast} from the shallows of the {river}.",
                "Along the {river}, volunteers have been moving {beast} to deeper pools.",
            ),
        ),
        summaries={
            "headline": "{town} bans some uses of water as reservoir falls to {level} per cent.",
            "passive": "{ban} have been prohibited in {town} because of {days} days of drought.",
            "number": "With {days} rainless days behind it, {town} has seen its reservoir fall to a record low for "
            "{dry}.",
            "place": "On the {river}, volunteers are rescuing {beast} while a drought tightens its grip on {town}.",
            "said": "With the reservoir {level} per cent full, {p} of the water board urges {town} to use less.",
            "subject": "A dry spell of {days} days has brought water restrictions to {town}.",
        },
    ),
    Frame(
        slots={
            "depth": range(22, 75),
            "cars": range(30, 260, 5),
            "hall": ("church hall", "sports hall", "school gym"),
            "food": ("soup", "porridge", "toast and tea", "baked potatoes", "stew"),
            "cold": ("December", "January", "February"),
        },
        sentences=(
            (
                "Snow {depth} centimetres deep trapped {cars} cars overnight on the road between {town} and {town2}.",
                "Between {town} and {town2}, {cars} cars were stuck overnight in {depth} centimetres of snow.",
            ),
            (
                "Villagers opened a {hall} and served {food} to those who could walk there.",
                "Many drivers walked to a {hall}, where villagers gave them {food}.",
            ),
            (
                "The last driver was led out by a farmer with a tractor at dawn on {day}.",
                "Ploughs reached the last of them at dawn on {day}.",
            ),
            (
                '"We sang to keep warm, and we sang badly," said {p}, one of the drivers.',
                '"I have made friends for life on that hill," said {p}, a nurse on the way home from work.',
            ),
            (
                "It was the heaviest fall in {cold} for twenty years.",
                "No heavier fall has been recorded in {cold} for two decades.",
            ),
        ),
        summaries={
            "headline": "Heavy {cold} snow strands {cars} cars between {town} and {town2}.",
            "passive": "Stranded drivers were given {food} in a {hall} after snow closed the road out of {town}.",
            "subject": "Villagers sheltered drivers caught by {depth} centimetres of snow near {town}.",
            "clause": "When snow blocked the road from {town} to {town2}, villagers opened a {hall} to drivers.",
            "place": "Between {town} and {town2}, the deepest {cold} snow for twenty years kept drivers out all night.",
            "number": "Occupants of {cars} cars spent a night in the snow on the road linking {town} and {town2}.",
        },
    ),
)

_ARCHAEOLOGY = (
    Frame(
        slots={
            "find": (
                "a mosaic floor",
                "a stone well",
                "a potter's kiln",
                "a row of iron tools",
                "a carved altar",
                "a timber causeway",
            ),
            "works": ("a new car park", "a drainage ditch", "a supermarket", "a bicycle path", "a swimming pool"),
            "age": range(900, 2600, 100),
            "depth": range(2, 6),
        },
        sentences=(
            (
                "Builders digging for {works} in {town} have uncovered {find} about {age} years old.",
                "Work on {works} in {town} stopped on {day} when a digger exposed {find} some {age} years old.",
            ),
            (
                "It lay {depth} metres down under clay, which kept it in unusually good condition.",
                "A layer of clay had preserved it at a depth of {depth} metres.",
            ),
            (
                "{p}, who leads the excavation, thinks that it belonged to a settlement nobody had suspected.",
                "The leader of the dig, {p}, believes that it was part of an unknown settlement.",
            ),
            (
                '"You wait a whole career for a morning like that," said {s}.',
                '"The digger driver deserves most of the credit," said {s}.',
            ),
            (
                "Construction will pause until {month} so that the ground can be surveyed.",
                "The builders have agreed to wait until {month} while the rest of the site is surveyed.",
            ),
        ),
        summaries={
            "headline": "Builders in {town} unearth {find} thought to be {age} years old.",
            "passive": "{find} was found in {town} during work on {works}, which is now paused until {month}.",
            "subject": "A team led by {p} is studying {find} discovered {depth} metres beneath {town}.",
            "place": "Under the site of {works} in {town}, workers have come across {find}.",
            "purpose": "To allow a survey of {find}, work on {works} in {town} has been halted until {month}.",
            "nominal": "An unknown settlement may explain {find}, {age} years old, dug up by chance in {town}.",
        },
    ),
    Frame(
        slots={
            "coins": range(140, 2600, 3),
            "metal": ("silver", "bronze", "gold"),
            "age": range(600, 1900, 50),
            "pot": ("a cracked jug", "a lead box", "a leather bag", "a cooking pot"),
            "who": ("a retired roofer", "a dairy farmer", "a school caretaker", "a young hiker", "a dog walker"),
        },
        sentences=(
            (
                "A hoard of {coins} {metal} coins has been found in a field near {town} by {who}.",
                "Near {town}, {who} came upon a hoard of {coins} {metal} coins on {day}.",
            ),
            (
                "The coins were inside {pot} and are thought to have been buried {age} years ago.",
                "Buried perhaps {age} years ago, they had been packed into {pot}.",
            ),
            (
                "Whoever hid them never came back, perhaps because of a war.",
                "Why the owner never returned for them is not known.",
            ),
            (
                '"At first I took them for bottle tops," the finder told the coin expert {p}.',
                '"The ploughs must have missed them by the width of a hand," said {p}, a coin expert.',
            ),
            (
                "The hoard will be cleaned in {town2} before a court decides who owns it.",
                "Before a court rules on ownership, the hoard will be cleaned in {town2}.",
            ),
        ),
        summaries={
            "headline": "Hoard of {coins} {metal} coins turns up in field near {town}.",
            "passive": "{metal} coins buried about {age} years ago were discovered near {town} by {who}.",
            "number": "Some {coins} old coins found near {town} are to be cleaned in {town2} while a court settles "
            "who owns them.",
            "place": "In a field by {town}, {who} has made a find of {metal} coins packed into {pot}.",
            "clause": "For {age} years {pot} full of {metal} coins may have lain unnoticed in the soil near {town}.",
            "result": "A court will have to decide who owns a hoard of {metal} coins discovered near {town}.",
        },
    ),
    Frame(
        slots={
            "class": ("pupils", "students", "volunteers", "scouts", "pensioners"),
            "trench": range(4, 19),
            "bone": ("a comb", "a flute", "a set of dice", "a needle case", "a child's whistle"),
            "place": ("an abbey", "a fort", "a watermill", "a tannery", "a leper hospital"),
            "age": range(500, 1500, 50),
        },
        sentences=(
            (
                "{class} from {town} have helped to dig up {bone} made of bone at the site of {place}.",
                "{bone}, made of bone, is the prize find of a dig at the site of {place} by {class} from {town}.",
            ),
            (
                "It dates from about {age} years ago and still shows the marks of the knife.",
                "Marks of the knife that cut it some {age} years ago can still be seen.",
            ),
            (
                "The group has opened {trench} trenches since {month} under the eye of a professional, {p}.",
                "Under a professional, {p}, they have opened {trench} trenches since {month}.",
            ),
            (
                '"They are more careful than my own staff, and quicker to laugh," said {s}.',
                '"I have seldom worked with such careful hands," said {s}.',
            ),
            (
                "The site beside the {river} will be open to visitors every {day}.",
                "Visitors may watch the dig beside the {river} every {day}.",
            ),
        ),
        summaries={
            "headline": "{class} from {town} dig up {bone} about {age} years old.",
            "passive": "{bone} of carved bone was recovered by {class} from {town} at a site beside the {river}.",
            "subject": "A dig by {class} from {town} has produced {bone} and {trench} trenches at the site of {place}.",
            "place": "Beside the {river}, {class} from {town} are uncovering {place} and have found {bone}.",
            "said": "{p}, who directs a dig by {class} from {town}, is full of praise for their care.",
            "participle": "Working under {p}, {class} from {town} have found {bone} at the site of {place}.",
        },
    ),
)

_TRANSPORT = (
    Frame(
        slots={
            "years": range(21, 70),
            "minutes": range(18, 55),
            "fare": _SMALL,
            "riders": range(300, 2400, 20),
            "hurdle": (
                "a missing bridge",
                "a colony of bats",
                "a flooded tunnel",
                "an old mine shaft",
                "a row over a footpath",
            ),
        },
        sentences=(
            (
                "Trains are running between {town} and {town2} for the first time in {years} years.",
                "The railway from {town} to {town2} reopened on {day} after {years} years.",
            ),
            (
                "The trip takes {minutes} minutes and costs {fare} crowns.",
                "A single costs {fare} crowns for a trip of {minutes} minutes.",
            ),
            (
                "Planners had to deal with {hurdle}, which delayed the work by more than a year.",
                "Work was held up for more than a year by {hurdle}.",
            ),
            (
                '"My grandfather drove the last train, so I had to be on this one," said {p}, a passenger.',
                '"It beats sitting behind a lorry," said {p}, one of the first passengers.',
            ),
            (
                "The operator hopes to carry {riders} people a day by {month}.",
                "By {month} the operator hopes for {riders} passengers a day.",
            ),
        ),
        summaries={
            "headline": "Trains return to {town} and {town2} line after {years} years.",
            "passive": "The railway linking {town} with {town2} has been reopened, having been delayed by {hurdle}.",
            "number": "It takes {minutes} minutes and {fare} crowns to travel by train from {town} to {town2} on a "
            "revived line.",
            "contrast": "Despite {hurdle}, the train service from {town} to {town2} is back after {years} years.",
            "subject": "A rail link closed for {years} years again carries passengers from {town} to {town2}.",
            "purpose": "Aiming for {riders} passengers a day, an operator has restored trains between {town} and "
            "{town2}.",
        },
    ),
    Frame(
        slots={
            "route": range(12, 99),
            "cut": (
                "after eight in the evening",
                "on Sundays",
                "in the school holidays",
                "before seven in the morning",
            ),
            "names": range(600, 5200, 10),
            "riders": range(4, 16),
            "group": ("hospital cleaners", "bakery workers", "students", "carers", "shift workers"),
        },
        sentences=(
            (
                "Bus {route} in {town} will no longer run {cut}, the operator said on {day}.",
                "The operator of bus {route} in {town} said on {day} that it would no longer run {cut}.",
            ),
            (
                "It blamed low numbers, with about {riders} passengers an hour at those times.",
                "At those times it carries about {riders} passengers an hour, which the firm calls too few.",
            ),
            (
                "A petition against the cut, started by {p}, has {names} names.",
                "{p} has gathered {names} names on a petition against the cut.",
            ),
            (
                '"I would have to walk home along a road with no pavement," said {q}, who speaks for {group}.',
                '"Without it many of us cannot get to our jobs," said {q}, who speaks for {group}.',
            ),
            ("The change takes effect in {month}.", "The new timetable begins in {month}."),
        ),
        summaries={
            "headline": "{town} is to lose bus {route} {cut} from {month}.",
            "passive": "A bus service in {town} is being cut {cut} because too few people use it.",
            "subject": "Passengers in {town} have collected {names} names to save bus {route} {cut}.",
            "clause": "As bus {route} stops running {cut}, {group} in {town} fear for their way to work.",
            "said": "{q}, speaking for {group}, has criticised the end of bus {route} {cut} in {town}.",
            "result": "Only about {riders} passengers an hour used bus {route} {cut}, so {town} will lose it in "
            "{month}.",
        },
    ),
    Frame(
        slots={
            "weeks": range(6, 30),
            "tonnes": range(8, 30),
            "detour": range(7, 29),
            "fault": (
                "rust in the main cables",
                "a crack in a pier",
                "loose stones in an arch",
                "a dent left by a barge",
                "rot in the deck",
            ),
            "trade": ("a cafe", "a garage", "a garden centre", "a bookshop", "a flower stall"),
        },
        sentences=(
            (
                "The bridge over the {river} at {town} has been closed for {weeks} weeks because of {fault}.",
                "Engineers who found {fault} have closed the bridge over the {river} at {town} for {weeks} weeks.",
            ),
            (
                "Traffic must take a detour of {detour} kilometres by way of {town2}.",
                "The way round, through {town2}, is {detour} kilometres long.",
            ),
            ("When it reopens, lorries of more than {tonnes} tonnes will be kept off it.", ""),
            (
                '"We take safety first and apologise second," said the chief engineer, {p}.',
                '"It would have been reckless to wait," said the chief engineer, {p}.',
            ),
            (
                "{q}, who runs {trade} near the bridge, said that trade had halved since {day}.",
                "Trade has halved since {day} at {trade} near the bridge, said its owner, {q}.",
            ),
            ("", "People on foot may still cross by the old ferry."),
        ),
        summaries={
            "headline": "{river} bridge at {town} shuts for {weeks} weeks because of {fault}.",
            "passive": "The {river} bridge at {town} was closed after engineers found {fault}.",
            "number": "Drivers face {weeks} weeks of detours of {detour} kilometres while a bridge at {town} is shut.",
            "place": "At {town}, trade has halved at {trade} since the bridge over the {river} closed.",
            "clause": "With the bridge at {town} out of use because of {fault}, traffic is being sent through {town2}.",
            "said": "Chief engineer {p} defends the closing of the bridge at {town}, where {fault} was discovered.",
        },
    ),
)

_STARTUPS = (
    Frame(
        slots={
            "firm": (
                "Loamlight",
                "Pebblewise",
                "Kettlenest",
                "Brightsedge",
                "Hullaby",
                "Mothwing",
                "Tinderfold",
                "Owlgrid",
                "Fernmetric",
                "Sparrowpost",
            ),
            "what": (
                "bricks from mushroom roots",
                "leather from apple skins",
                "batteries from salt",
                "packaging from seaweed",
                "insulation from old jeans",
                "ink from candle soot",
            ),
            "sum": range(2, 20),
            "staff": range(9, 60),
            "more": range(60, 150, 5),
            "base": ("a former brewery", "a disused chapel", "two shipping containers", "an old tram depot", "a barn"),
        },
        sentences=(
            (
                "{firm}, a young company in {town} that makes {what}, has raised {sum} million crowns.",
                "A young company in {town} that makes {what} has raised {sum} million crowns.",
            ),
            (
                "Founded by {p}, {firm} works from {base}.",
                "Founded by {p} in {base}, {firm} sold its first batch only last year.",
            ),
            (
                "It employs {staff} people and plans to have {more} by {month}.",
                "By {month} it expects to grow from {staff} employees to {more}.",
            ),
            (
                '"For a year nobody answered my calls, and now I cannot answer all of theirs," said {s}.',
                '"We spent nothing on carpets and everything on testing," said {s}.',
            ),
            ("The largest investor is a pension fund for teachers.", "A bank in {town2} lent part of the money.", ""),
        ),
        summaries={
            "headline": "{firm} raises {sum} million crowns to make {what} in {town}.",
            "subject": "{p}, whose company {firm} makes {what}, has attracted {sum} million crowns.",
            "passive": "An investment of {sum} million crowns has been secured by {firm}, a maker of {what}.",
            "place": "From {base} in {town}, {firm} hopes to grow to {more} employees making {what}.",
            "purpose": "To expand from {staff} workers to {more}, {town} company {firm} has raised new money.",
            "nominal": "Good news for {town}: a firm that makes {what} has won {sum} million crowns of backing.",
        },
    ),
    Frame(
        slots={
            "app": ("Borrowell", "Plumbline", "Grubswap", "Stepstone", "Nightlark", "Hedgehop"),
            "does": (
                "lets neighbours lend each other tools",
                "finds spare seats in cars",
                "sells bread left at closing",
                "matches walkers with lonely dogs",
                "tells gardeners when to water",
            ),
            "users": range(12, 240, 2),
            "age": range(17, 25),
            "fee": _SMALL,
        },
        sentences=(
            (
                "An app that {does} has reached {users},000 users within a year of its launch in {town}.",
                "Within a year of its launch in {town}, an app that {does} has gained {users},000 users.",
            ),
            (
                "{app} was written by {p}, who is {age}, during a long stay in hospital.",
                "Its author, {p}, wrote {app} at the age of {age} while working nights in a warehouse.",
            ),
            (
                "The service is free, but advertisers pay {fee} crowns a week to appear in it.",
                "Advertisers pay {fee} crowns a week to appear in it, and users pay nothing.",
            ),
            (
                '"I built it for my own street and forgot to switch it off," said {s}.',
                '"A larger firm offered to buy us, but I would miss it," said {s}.',
            ),
            ("A version for {town2} is planned for {month}.", "In {month} it will open in {town2} as well."),
        ),
        summaries={
            "headline": "App that {does} reaches {users},000 users a year after {town} launch.",
            "subject": "{app}, an app by {p} that {does}, has become a success in {town}.",
            "passive": "An app created at the age of {age} by {p} is used by {users},000 people.",
            "clause": "Having won {users},000 users in {town}, the app {app} will open in {town2} in {month}.",
            "contrast": "Though free to its {users},000 users, the app {app} charges advertisers {fee} crowns a week.",
            "number": "At {age}, {p} of {town} has built an app with {users},000 users.",
        },
    ),
    Frame(
        slots={
            "firm": ("Quayline", "Dovetail", "Larkspur", "Cobble and Crane", "Silverreed", "Umbra"),
            "goods": ("electric scooters", "folding canoes", "garden tools", "cordless lamps", "children's bicycles"),
            "lost": range(14, 120),
            "debt": range(2, 15),
            "years": _SMALL,
            "reason": (
                "a rise in the price of steel",
                "a recall in the spring",
                "slow sales abroad",
                "the loss of its largest customer",
                "a failed second factory",
            ),
        },
        sentences=(
            (
                "{firm}, which makes {goods} in {town}, closed on {day} with the loss of {lost} jobs.",
                "The {town} maker of {goods}, {firm}, shut its doors on {day}, and {lost} people lost their jobs.",
            ),
            (
                "The company, only {years} years old, blamed {reason}.",
                "After {years} years in business it was undone, the directors said, by {reason}.",
            ),
            (
                "It owes {debt} million crowns, mostly to suppliers in {town2}.",
                "Debts of {debt} million crowns remain, many of them to suppliers in {town2}.",
            ),
            (
                '"I have told every one of them myself, and it was the worst day of my life," said its founder, {p}.',
                '"We grew faster than we learned," said its founder, {p}.',
            ),
            ("A rival has offered interviews to the former staff.", "The council will hold a jobs fair in {month}."),
        ),
        summaries={
            "headline": "{firm} collapses in {town} with {lost} jobs lost.",
            "passive": "{lost} jobs have been lost in {town} after {firm} was undone by {reason}.",
            "subject": "A maker of {goods} in {town} has closed, owing {debt} million crowns.",
            "clause": "Blaming {reason}, the {goods} firm {firm} has shut after {years} years.",
            "number": "Debts of {debt} million crowns have ended the {years} years of {firm}, a maker of {goods}.",
            "there": "There is no future for {firm}, the {town} maker of {goods}, whose {lost} workers must look "
            "elsewhere.",
        },
    ),
)

_HOSPITAL = (
    Frame(
        slots={
            "ward": ("children's ward", "stroke unit", "maternity ward", "burns unit", "eye clinic"),
            "beds": range(12, 48),
            "cost": range(3, 24),
            "extra": (
                "a roof garden",
                "rooms where relatives can sleep",
                "a small cinema",
                "windows in every room",
                "a music room",
            ),
        },
        sentences=(
            (
                "A new {ward} with {beds} beds opened at the hospital in {town} on {day}.",
                "The hospital in {town} opened a new {ward} with {beds} beds on {day}.",
            ),
            (
                "It cost {cost} million crowns and includes {extra}.",
                "The building, which includes {extra}, cost {cost} million crowns.",
            ),
            (
                "Until now patients have had to travel to {town2} for such care.",
                "Patients had previously been sent to {town2}, an hour away.",
            ),
            (
                '"I have worked in the old one for years, and I shall not miss the stairs," said {p}, the head nurse.',
                '"The first thing patients mention is the quiet," said {p}, the head nurse.',
            ),
            (
                "Some of the equipment was paid for by a local charity.",
                "A charity run by {q} paid for some of the equipment.",
            ),
        ),
        summaries={
            "headline": "{town} hospital opens {ward} with {beds} beds and {extra}.",
            "passive": "A {ward} costing {cost} million crowns has been opened in {town}.",
            "subject": "Patients from {town} need no longer travel to {town2} now that a {ward} has opened.",
            "place": "At the hospital in {town}, a {ward} with {extra} has received its first patients.",
            "number": "For {cost} million crowns {town} has gained a {ward} of {beds} beds.",
            "clause": "Now that its {ward} is open, {town} can treat patients once sent to {town2}.",
        },
    ),
    Frame(
        slots={
            "task": (
                "spot broken wrists",
                "sort blood samples",
                "check prescriptions",
                "measure wounds from photographs",
                "read scans of the chest",
            ),
            "before": range(40, 75),
            "after": range(9, 35),
            "cases": range(400, 3200, 20),
            "missed": _SMALL[1:],
        },
        sentences=(
            (
                "Doctors in {town} have cut waiting times with software that helps to {task}.",
                "Software that helps to {task} has cut waiting times at the hospital in {town}.",
            ),
            (
                "In a trial with {cases} patients the average wait fell from {before} minutes to {after}.",
                "The average wait fell from {before} minutes to {after} in a trial with {cases} patients.",
            ),
            (
                "The program made {missed} mistakes, and staff caught all of them.",
                "Staff caught all {missed} of the mistakes that the program made.",
            ),
            (
                '"It is a second pair of eyes and not a replacement for the first," said {p}, who led the trial.',
                '"It gives us time to look up and talk," said {p}, who led the trial.',
            ),
            (
                "A union warned that savings must not come from jobs.",
                "The union wants a promise that no posts will be lost.",
                "",
            ),
            ("The hospital in {town2} will try it in {month}.", "In {month} it will be tried in {town2}."),
        ),
        summaries={
            "headline": "Software to {task} shortens waits at {town} hospital.",
            "number": "Waits fell from {before} to {after} minutes when {town} doctors used software to {task}.",
            "passive": "A program used to {task} has been tested on {cases} patients in {town}, with shorter waits.",
            "subject": "A trial led by {p} suggests that software can {task} and save time.",
            "contrast": "Although it made {missed} mistakes, a program tried in {town} has reduced waiting times.",
            "result": "So well did software perform in {town} that the hospital in {town2} will try it in {month}.",
        },
    ),
    Frame(
        slots={
            "years": range(31, 50),
            "babies": range(2100, 9900, 7),
            "gift": ("a garden bench", "a rocking chair", "a quilt", "a silver watch", "a pair of walking boots"),
            "guests": range(40, 190),
        },
        sentences=(
            (
                "A midwife who has delivered {babies} babies in {town} retired on {day} after {years} years.",
                "After {years} years and {babies} births, a midwife in {town} retired on {day}.",
            ),
            (
                "{p} was given {gift} at a party for {guests} guests, many of them once among those babies.",
                "At a party with {guests} guests, {p} was given {gift} and a long round of applause.",
            ),
            (
                '"I never once went home bored," said {s}.',
                '"Every one of them was the first, as far as I was concerned," said {s}.',
            ),
            ("The post will go to {q}, who comes from {town2}.", "{q}, who comes from {town2}, will take over."),
            (
                "The hospital has named a room after its longest-serving midwife.",
                "A room on the ward will bear the name of the retiring midwife.",
            ),
        ),
        summaries={
            "headline": "{town} midwife retires after {years} years and {babies} births.",
            "subject": "{p}, a midwife in {town} for {years} years, has retired and received {gift}.",
            "passive": "A midwife who delivered {babies} babies was honoured in {town} at a party for {guests} guests.",
            "place": "In {town}, {p} was given {gift} on retiring after {years} years as a midwife.",
            "nominal": "{babies} babies, {years} years and one party: midwife {p} is leaving the ward in {town}.",
            "clause": "As midwife {p} steps down in {town}, the post passes to {q} of {town2}.",
        },
    ),
)

_FESTIVAL = (
    Frame(
        slots={
            "kind": ("lantern", "pie", "kite", "accordion", "cheese", "puppet", "drumming", "cider"),
            "guests": range(1200, 19000, 50),
            "year": tuple(f"{year}th" for year in range(14, 97) if year % 10 not in (1, 2, 3)),
            "acts": range(20, 90),
            "snag": (
                "a power cut",
                "a swarm of bees",
                "a sudden downpour",
                "a herd of loose goats",
                "the late arrival of the mayor",
            ),
        },
        sentences=(
            (
                "The {kind} festival in {town} drew {guests} visitors at the weekend, more than ever before.",
                "A record {guests} people came to {town} at the weekend for its {kind} festival.",
            ),
            (
                "Now in its {year} year, it was interrupted for half an hour by {snag}.",
                "It was held for the {year} time and survived a short interruption by {snag}.",
            ),
            (
                "There were {acts} stalls and a parade along {street}.",
                "Visitors found {acts} stalls and followed a parade along {street}.",
            ),
            (
                '"You cannot plan for everything, but you can laugh at most of it," said {p}, who organised it.',
                '"I have hardly slept all week, and I would do it again tomorrow," said the organiser, {p}.',
            ),
            (
                "Money left over will pay for a new roof on the bandstand.",
                "What remains of the takings will go to the bandstand.",
            ),
        ),
        summaries={
            "headline": "{kind} festival in {town} draws record crowd of {guests}.",
            "contrast": "Despite {snag}, the {kind} festival in {town} had its best weekend yet.",
            "subject": "Organiser {p} saw {guests} visitors attend the {kind} festival in {town}.",
            "passive": "The {kind} festival in {town} was briefly halted by {snag} before a record crowd.",
            "number": "Some {acts} stalls and {guests} visitors filled {town} for its {kind} festival.",
            "place": "Along {street} in {town}, a parade marked a record year for the {kind} festival.",
        },
    ),
    Frame(
        slots={
            "kind": ("folk music", "short film", "poetry", "street theatre", "jazz", "choral"),
            "debt": range(12, 90),
            "rain": _SMALL[1:],
            "years": range(11, 50),
            "hope": (
                "a smaller event in a church",
                "a single concert in spring",
                "a festival every other year",
                "a festival held indoors",
            ),
        },
        sentences=(
            (
                "There will be no {kind} festival in {town} next summer, the organisers said on {day}.",
                "The organisers of the {kind} festival in {town} said on {day} that there would be none next year.",
            ),
            (
                "They owe {debt},000 crowns after {rain} wet weekends kept audiences away.",
                "After {rain} wet weekends and poor audiences they are {debt},000 crowns in debt.",
            ),
            (
                "The event has been held for {years} years in a meadow beside the {river}.",
                "For {years} years it has filled a meadow beside the {river}.",
            ),
            (
                '"It breaks my heart, but hearts do not pay for tents," said {p}, the director.',
                '"I would sooner stop with dignity than limp on," said the director, {p}.',
            ),
            ("Supporters hope to put on {hope} instead.", "A group of supporters is planning {hope}."),
        ),
        summaries={
            "headline": "{town} calls off {kind} festival over debt of {debt},000 crowns.",
            "passive": "The {kind} festival in {town} has been cancelled after {years} years because of bad weather "
            "and debt.",
            "clause": "After {rain} wet weekends, the {kind} festival in {town} cannot afford to go ahead.",
            "subject": "Supporters of the {kind} festival in {town} want {hope} now that it has been called off.",
            "number": "Debts of {debt},000 crowns mean no {kind} festival in {town} next year.",
            "place": "Beside the {river} in {town}, a meadow will be silent as the {kind} festival takes a year off.",
        },
    ),
    Frame(
        slots={
            "object": (
                "scarecrow",
                "pumpkin tower",
                "straw bull",
                "gingerbread tower",
                "paper dragon",
                "paper lantern",
            ),
            "height": range(3, 13),
            "helpers": range(25, 300),
            "eggs": range(11, 90),
            "fate": (
                "burnt on a bonfire",
                "given to a school",
                "taken apart for compost",
                "auctioned for charity",
                "left to the weather",
            ),
        },
        sentences=(
            (
                "A {object} {height} metres high has broken a regional record at the summer fair in {town}.",
                "The summer fair in {town} has broken a regional record with a {object} {height} metres high.",
            ),
            (
                "It took {helpers} people {eggs} hours to build, under the direction of {p}.",
                "Under the direction of {p}, {helpers} helpers worked on it for {eggs} hours.",
            ),
            (
                "A judge climbed a ladder on {day} to check the measurement twice.",
                "On {day} a judge with a tape measure confirmed the height twice.",
            ),
            ('"We only wanted to beat {town2}," said {s}.', '"{town2} has been unbearable about its own," said {s}.'),
            ("The record breaker will be {fate}.", "When the fair ends it will be {fate}."),
            ("", "Children were allowed to add the finishing touches."),
        ),
        summaries={
            "headline": "{town} breaks record with {object} {height} metres tall.",
            "passive": "A record for the tallest {object} in the region was set by {helpers} helpers in {town}.",
            "subject": "{p} and {helpers} helpers have built a {object} that will be {fate}.",
            "number": "It took {eggs} hours for {town} to make a {object} {height} metres high.",
            "purpose": "Hoping to beat {town2}, people in {town} have made a {object} of record height.",
            "place": "At the fair in {town}, a {object} of {height} metres has set a regional record.",
        },
    ),
)

_FISHING = (
    Frame(
        slots={
            "catch": ("mackerel", "herring", "cod", "sprat", "haddock", "squid"),
            "pct": range(18, 56),
            "boats": range(11, 48),
            "price": range(3, 12),
            "why": (
                "warmer water",
                "larger boats offshore",
                "a harsh spring",
                "hungry seals",
                "a change in the currents",
            ),
        },
        sentences=(
            (
                "Landings of {catch} at {port} have fallen by {pct} per cent in a year, figures showed on {day}.",
                "Boats from {port} brought in {pct} per cent less {catch} than a year ago, figures showed on {day}.",
            ),
            ("The harbour office says that {why} may be to blame.", "Scientists suspect {why}."),
            (
                "Some of the {boats} crews have turned to crab, and others have stayed ashore.",
                "Of the {boats} crews in the port, several now set pots for crab.",
            ),
            (
                '"My father filled this boat twice a week, and I cannot fill it once," said {p}, a skipper.',
                '"You can hear the engine echo in an empty hold," said {p}, a skipper.',
            ),
            ("At the quay a kilo now costs {price} crowns.", "The price has risen to {price} crowns a kilo."),
        ),
        summaries={
            "headline": "{catch} landings at {port} drop by {pct} per cent.",
            "subject": "Fishing crews at {port} are catching far less {catch} than they did a year ago.",
            "passive": "A fall of {pct} per cent in the {catch} catch at {port} is being blamed on {why}.",
            "place": "In {port}, {boats} crews face a shortage of {catch}, which now sells for {price} crowns a kilo.",
            "said": "Skipper {p} tells of empty holds as {catch} grows scarce off {port}.",
            "clause": "With {catch} scarce, perhaps owing to {why}, some boats at {port} have switched to crab.",
        },
    ),
    Frame(
        slots={
            "boat": ("Morning Grace", "Silver Tern", "Second Wind", "Patience", "Bonny Ada", "Northern Lass"),
            "crew": _SMALL[:6],
            "hours": range(3, 15),
            "miles": range(6, 40),
            "fault": (
                "a rope fouled its propeller",
                "its engine caught fire",
                "it struck a drifting log",
                "water got into the fuel",
                "its rudder snapped",
            ),
        },
        sentences=(
            (
                "A fishing boat and its crew of {crew} were rescued off {port} on {day} after {fault}.",
                "{crew} people were rescued from a fishing boat off {port} on {day} after {fault}.",
            ),
            (
                "The boat, the {boat}, had drifted for {hours} hours in a heavy swell.",
                "The {boat} had by then been adrift for {hours} hours.",
            ),
            (
                "A lifeboat found it {miles} miles out and towed it home.",
                "It was {miles} miles out when a lifeboat reached it and took it in tow.",
            ),
            (
                '"I promised my wife I would fix the radio, and now I shall," said the skipper, {p}.',
                '"The tea they gave us was the best I have tasted," said the skipper, {p}.',
            ),
            (
                "The coxswain of the lifeboat, {q}, praised the crew for staying calm.",
                "{q}, coxswain of the lifeboat, said that the crew had done everything right.",
            ),
        ),
        summaries={
            "headline": "Lifeboat saves crew of {crew} adrift off {port}.",
            "passive": "The {boat} was towed back to {port} after drifting for {hours} hours.",
            "subject": "A lifeboat has rescued a fishing boat and its crew of {crew} off {port} after {fault}.",
            "number": "For {hours} hours the fishing boat {boat} drifted off {port} before help arrived.",
            "clause": "Because {fault}, the {boat} and its crew of {crew} had to be rescued off {port}.",
            "said": "Coxswain {q} has praised the calm of a crew rescued {miles} miles off {port}.",
        },
    ),
    Frame(
        slots={
            "gear|saved": (
                "nets with larger holes|young fish",
                "pots with a way out|undersized crabs",
                "heavy hooks that sink fast|seabirds",
                "nets with an escape hatch|seals",
                "sound beacons|porpoises",
            ),
            "loss": range(40, 90),
            "boats": range(6, 35),
            "grant": range(20, 240, 5),
        },
        sentences=(
            (
                "Fishing boats at {port} are to test {gear} in the hope of sparing {saved}.",
                "In the hope of sparing {saved}, boats at {port} will test {gear}.",
            ),
            (
                "A grant of {grant},000 crowns will equip {boats} vessels by {month}.",
                "By {month}, {boats} vessels will be fitted out with a grant of {grant},000 crowns.",
            ),
            (
                "In an earlier trial accidental catches fell by {loss} per cent.",
                "Accidental catches were down by {loss} per cent in an earlier trial.",
            ),
            (
                '"We want there to be something left for our children to catch," said {p} of the boat owners.',
                '"If it works, I will tell everyone, and if not, I will tell them louder," said {p}, an owner.',
            ),
            ("A university will publish the results next year.", "{q}, a marine biologist, will study the results."),
        ),
        summaries={
            "headline": "{port} boats to try {gear} and so protect {saved}.",
            "purpose": "To spare {saved}, {boats} boats at {port} will be fitted with new equipment.",
            "passive": "{boats} fishing boats in {port} are being given {gear} under a grant of {grant},000 crowns.",
            "subject": "Owners at {port} hope that {gear} will reduce the number of {saved} caught by accident.",
            "number": "A grant of {grant},000 crowns will let {port} experiment with {gear}.",
            "clause": "After a trial that cut accidental catches by {loss} per cent, {port} is adopting {gear}.",
        },
    ),
)

_SCHOOLS = (
    Frame(
        slots={
            "subject": ("cookery", "astronomy", "sign language", "carpentry", "chess", "beekeeping", "first aid"),
            "pupils": range(90, 780, 5),
            "hours": ("one hour", "two hours", "three hours"),
            "marks": range(6, 24),
            "age": range(8, 13),
        },
        sentences=(
            (
                "All {pupils} pupils at a school in {town} now study {subject} for {hours} a week.",
                "A school in {town} has made {subject} compulsory for its {pupils} pupils, for {hours} a week.",
            ),
            (
                "The head teacher, {p}, introduced the lessons after a pupil aged {age} asked for them.",
                "It began when a pupil aged {age} wrote to the head teacher, {p}.",
            ),
            (
                "Since then absences have fallen by {marks} per cent.",
                "Absences have dropped by {marks} per cent in the meantime.",
            ),
            (
                '"Children who used to hate coming in now arrive early," said {s}.',
                '"I did not expect it to help with their spelling, but it has," said {s}.',
            ),
            (
                "Inspectors called the idea bold, and schools in {town2} may copy it.",
                "Schools in {town2} have asked to see how it is done.",
            ),
        ),
        summaries={
            "headline": "{town} school makes {subject} compulsory and sees absences fall.",
            "subject": "Head teacher {p} has brought in {subject} lessons for {pupils} pupils in {town}.",
            "passive": "Lessons in {subject} were introduced in {town} at the request of a pupil aged {age}.",
            "number": "Absences are down by {marks} per cent at a {town} school that teaches {subject} to all.",
            "clause": "Since pupils in {town} began to learn {subject}, fewer of them have been missing school.",
            "place": "At a school in {town}, everyone now spends {hours} a week on {subject}.",
        },
    ),
    Frame(
        slots={
            "pupils": range(14, 58),
            "miles": range(6, 25),
            "years": range(90, 160),
            "reason": ("falling numbers", "a leaking roof", "the loss of its last teacher", "the cost of heating"),
            "use": ("a community centre", "a doctor's surgery", "a youth hostel", "four small flats"),
        },
        sentences=(
            (
                "The village school outside {town} will close in {month} because of {reason}.",
                "Because of {reason}, the village school outside {town} is to close in {month}.",
            ),
            (
                "It has taught local children for {years} years and has {pupils} pupils left.",
                "Only {pupils} pupils remain at the school, which is {years} years old.",
            ),
            (
                "They will be taken by bus to {town2}, {miles} miles away.",
                "A bus will take them the {miles} miles to {town2}.",
            ),
            (
                '"My children, my mother and I all carved our names on the same desk," said {p}, a parent.',
                '"A village without a school is just a row of houses," said {p}, a parent.',
            ),
            ("The building may become {use}.", "One suggestion is to turn the building into {use}."),
        ),
        summaries={
            "headline": "Village school near {town} to shut in {month} after {years} years.",
            "passive": "A school outside {town} is being closed because of {reason}.",
            "number": "The last {pupils} pupils of a village school near {town} will move to {town2}.",
            "subject": "Parents near {town} are losing a school {years} years old to {reason}.",
            "place": "Outside {town}, a school with {pupils} pupils may be turned into {use}.",
            "clause": "When their school closes in {month}, {pupils} children will travel {miles} miles to {town2}.",
        },
    ),
    Frame(
        slots={
            "prize": (
                "a robot that sorts litter",
                "a lamp powered by a bicycle",
                "a poem about the harbour",
                "a bridge made of spaghetti",
                "a map of the town by smell",
            ),
            "age": range(9, 17),
            "rivals": range(35, 420),
            "sum": range(500, 4200, 100),
            "spend": ("a greenhouse", "new library books", "a trip to the sea", "a telescope", "drums for the band"),
        },
        sentences=(
            (
                "{p}, a pupil of {age} from {town}, has won a national prize for {prize}.",
                "A national prize for {prize} has gone to {p}, a pupil of {age} from {town}.",
            ),
            (
                "The work was chosen on {day} from {rivals} entries.",
                "On {day} the judges picked it out of {rivals} entries.",
            ),
            (
                "The award is worth {sum} crowns, and the school will spend it on {spend}.",
                "The school will spend the prize of {sum} crowns on {spend}.",
            ),
            (
                '"I nearly threw it away the night before," said {s}.',
                '"My brother said it was daft, and he has gone very quiet," said {s}.',
            ),
            (
                "{q}, who chaired the judges, called it the work of a free mind.",
                "The chair of the judges, {q}, praised its humour.",
            ),
        ),
        summaries={
            "headline": "{town} pupil wins national prize for {prize}.",
            "passive": "A national prize was awarded to {p}, who is {age}, for {prize}.",
            "subject": "{p} of {town} came first among {rivals} entries with {prize}.",
            "number": "At the age of {age}, {p} has won {sum} crowns for a school in {town}.",
            "result": "A school in {town} can afford {spend} thanks to a prize won by {p}.",
            "said": "The chair of the judges, {q}, has praised a pupil of {age} from {town} for {prize}.",
        },
    ),
)

_COURTS = (
    Frame(
        slots={
            "job": ("a bookkeeper", "a landlord", "a jeweller", "a car dealer", "a club treasurer", "an estate agent"),
            "sum": range(14, 230),
            "months": range(10, 44, 2),
            "counts": _SMALL,
            "spent": ("holidays", "racehorses", "vintage wine", "a speedboat", "lottery tickets"),
        },
        sentences=(
            (
                "A court in {town} has sentenced {job} to {months} months in prison for stealing {sum},000 crowns.",
                "{job} who stole {sum},000 crowns was sent to prison for {months} months in {town} on {day}.",
            ),
            ("{p} had admitted {counts} charges of fraud.", "{p} pleaded guilty to {counts} charges of fraud."),
            (
                "The court heard that most of the money went on {spent}.",
                "Most of the money was spent on {spent}, the court was told.",
            ),
            (
                '"You were trusted, and you treated that trust as a purse," said the judge, {q}.',
                '"Not one of your victims was rich," the judge, {q}, told the defendant.',
            ),
            (
                "A hearing in {month} will decide how much can be paid back.",
                "How much can be recovered will be settled at a hearing in {month}.",
            ),
        ),
        summaries={
            "headline": "{town} court jails {job} for theft of {sum},000 crowns.",
            "passive": "{job} was sentenced in {town} to {months} months for fraud that paid for {spent}.",
            "subject": "{p}, who admitted {counts} charges of fraud, has been jailed for {months} months.",
            "number": "Theft of {sum},000 crowns has brought a prison term of {months} months for {p}.",
            "clause": "Having spent stolen money on {spent}, {job} in {town} is going to prison.",
            "place": "In {town}, Judge {q} has imprisoned {job} who took {sum},000 crowns.",
        },
    ),
    Frame(
        slots={
            "row": ("a hedge", "a cockerel", "a shared drain", "an apple tree", "a wind chime", "a garden wall"),
            "years": _SMALL[1:],
            "cost": range(18, 120),
            "award": ("one crown", "ten crowns", "fifty crowns"),
        },
        sentences=(
            (
                "A dispute over {row} between two neighbours in {town} ended in court on {day} after {years} years.",
                "After {years} years, two neighbours in {town} had their dispute over {row} settled in court on {day}.",
            ),
            (
                "The judge found for {p} but awarded only {award}.",
                "{p} won the case, though the award was just {award}.",
            ),
            (
                "Legal costs on both sides come to {cost},000 crowns.",
                "Between them the neighbours have spent {cost},000 crowns on lawyers.",
            ),
            (
                '"You could each have bought a quiet cottage for that," the judge told them.',
                '"I hope that you will now try talking," the judge said.',
            ),
            ("The loser, {q}, does not plan to appeal.", "{q}, who lost, said that an appeal was out of the question."),
            ("", "The two houses on {street} share a wall."),
        ),
        summaries={
            "headline": "Neighbours in {town} spend {cost},000 crowns fighting over {row}.",
            "contrast": "Although {p} won a court case over {row} in {town}, the award was just {award}.",
            "passive": "A quarrel about {row} in {town} has been settled by a judge after {years} years.",
            "subject": "{q} of {town} has lost a legal fight with a neighbour over {row}.",
            "number": "Costs of {cost},000 crowns and an award of {award} mark the end of a dispute over {row}.",
            "clause": "It has taken {years} years, but neighbours in {town} have ended their battle over {row}.",
        },
    ),
    Frame(
        slots={
            "firm|spill": (
                "a paper mill|bleach",
                "a dairy|whey",
                "a tannery|dye",
                "a quarry|diesel",
                "a paint factory|solvent",
            ),
            "fine": range(60, 900, 20),
            "fish": range(700, 9000, 50),
            "pay": range(15, 50),
        },
        sentences=(
            (
                "{firm} in {town} has been fined {fine},000 crowns for letting {spill} into the {river}.",
                "A judge has fined {firm} in {town} {fine},000 crowns for letting {spill} into the {river}.",
            ),
            (
                "The spill in {month} killed about {fish} fish.",
                "About {fish} fish died in the spill, which was in {month}.",
            ),
            (
                "The firm said that a valve had failed, but the court found that warnings were ignored.",
                "Warnings had been ignored, the court found, although the firm blamed a faulty valve.",
            ),
            (
                '"The smell reached us before the news did," said {p}, an angler who gave evidence.',
                '"My daughter asked why the water had gone quiet," said {p}, an angler who gave evidence.',
            ),
            (
                "A further {pay},000 crowns must be spent on restocking.",
                "The firm must also pay {pay},000 crowns for restocking.",
            ),
        ),
        summaries={
            "headline": "{firm} in {town} fined {fine},000 crowns over dead fish.",
            "passive": "{firm} was ordered to pay {fine},000 crowns after {spill} polluted the {river} at {town}.",
            "number": "The death of {fish} fish has cost {firm} in {town} a large fine.",
            "place": "On the {river} at {town}, {spill} from {firm} killed about {fish} fish.",
            "contrast": "Though it blamed a valve, {firm} in {town} has been fined for polluting the {river}.",
            "subject": "A court has punished {firm} that let {spill} flow into the {river} near {town}.",
        },
    ),
)

_WILDLIFE = (
    Frame(
        slots={
            "animal|plural": (
                "beaver|beavers",
                "crane|cranes",
                "pine marten|pine martens",
                "spoonbill|spoonbills",
                "wildcat|wildcats",
                "osprey|ospreys",
                "otter|otters",
            ),
            "years": range(35, 210, 5),
            "young": ("two", "three", "four", "five"),
            "cams": range(6, 44),
        },
        sentences=(
            (
                "A pair of {plural} has bred near {town} for the first time in {years} years.",
                "For the first time in {years} years, a pair of {plural} has raised young near {town}.",
            ),
            (
                "One of {cams} cameras set up by volunteers filmed {young} young on {day}.",
                "Volunteers saw {young} young on {day} on film from one of their {cams} cameras.",
            ),
            ("The exact place is being kept secret.", "The wardens will not say exactly where."),
            (
                '"I cried, and then I watched the film again," said {p}, a warden.',
                '"We built them a home and hoped, and I cried when they moved in," said {p}, a warden.',
            ),
            ("Another {animal} has been heard at {town2}.", "A lone {animal} has also been reported from {town2}."),
            ("Walkers have been asked to keep dogs on a lead until {month}.", ""),
        ),
        summaries={
            "headline": "{plural} breed near {town} for first time in {years} years.",
            "passive": "{young} young {plural} were filmed near {town} by a camera that volunteers had set up.",
            "subject": "Volunteers near {town} have recorded the first {animal} family there for {years} years.",
            "number": "It had been {years} years since {plural} last bred near {town}.",
            "said": "Warden {p} admits to tears on learning that {plural} have bred near {town}.",
            "place": "At a secret site near {town}, {plural} have had {young} young.",
        },
    ),
    Frame(
        slots={
            "pest": ("wild boar", "feral goats", "herring gulls", "grey parakeets", "roaming peacocks"),
            "harm": (
                "dug up the bowling green",
                "eaten the flowers in the cemetery",
                "stolen lunches from pupils",
                "kept people awake",
                "blocked the road to the station",
            ),
            "herd": range(15, 95),
            "calls": range(60, 480, 5),
            "cure": (
                "a taller fence",
                "a recording of an owl",
                "a feeding station in the woods",
                "a patrol with dogs",
                "bins that lock",
            ),
        },
        sentences=(
            (
                "{pest} have {harm} in {town}, and the council has had {calls} complaints.",
                "The council in {town} has had {calls} complaints about {pest}, which have {harm}.",
            ),
            (
                "There are thought to be {herd} of them, twice as many as last year.",
                "Their number has doubled in a year to about {herd}.",
            ),
            ("From {month} the town will try {cure}.", "The town intends to try {cure} from {month}."),
            (
                '"They looked at me as if I were the intruder," said {p}, who lives on {street}.',
                '"I shouted, and they just went on with what they were doing," said {p}, who lives on {street}.',
            ),
            (
                "The ecologist {q} blamed people who feed them.",
                "People should stop feeding them, said {q}, an ecologist.",
            ),
        ),
        summaries={
            "headline": "{town} plans {cure} to deal with {pest}.",
            "subject": "{pest} have {harm} in {town}, where their number has doubled in a year.",
            "passive": "{calls} complaints have been made in {town} about {pest}.",
            "said": "Ecologist {q} says that feeding is the reason why {pest} trouble {town}.",
            "purpose": "To keep away about {herd} {pest}, the town of {town} will turn to {cure}.",
            "clause": "Now that {pest} have {harm}, {town} is going to try {cure}.",
        },
    ),
    Frame(
        slots={
            "month": ("May", "June", "July", "August"),
            "what": ("moths", "bumblebees", "glow-worms", "hedgehogs", "toads", "bats"),
            "count": range(320, 8800, 10),
            "people": range(40, 900, 5),
            "pct": range(8, 60),
            "site": ("roundabouts", "churchyards", "school fields", "railway banks", "rooftops"),
            "way": ("mowing less often", "leaving lamps off", "planting clover", "keeping old walls"),
        },
        sentences=(
            (
                "A count of {what} in {town} has found {count}, up by {pct} per cent on last year.",
                "{what} are up by {pct} per cent in {town}, where a count has found {count} of them.",
            ),
            (
                "On one night in {month}, {people} people searched gardens and {site}.",
                "The search of gardens and {site} by {people} people took place on one night in {month}.",
            ),
            ("Experts credit the rise to {way}.", "The rise is put down to {way}."),
            (
                '"It shows that doing a little less can be a great deal," said {p}, who runs the survey.',
                '"People came home muddy and very proud," said {p}, who runs the survey.',
            ),
            ("In {town2}, by contrast, numbers have stayed the same.", "Numbers in {town2} have not changed."),
        ),
        summaries={
            "headline": "{what} up by {pct} per cent in {town}, night count shows.",
            "subject": "A survey by {people} people in {town} has counted {count} {what}.",
            "passive": "More {what} were counted in {town} than last year, a rise put down to {way}.",
            "contrast": "While {town2} sees no change, {what} in {town} have increased by {pct} per cent.",
            "number": "Some {count} {what} were found in {town} during a single night in {month}.",
            "place": "In the gardens and {site} of {town}, {what} are becoming more common.",
        },
    ),
)

_ENERGY = (
    Frame(
        slots={
            "kind": ("solar farm", "wind farm", "tidal turbine", "battery store", "hydro plant"),
            "homes": range(900, 14000, 100),
            "cost": range(4, 60),
            "shares": range(150, 2200, 10),
            "rest": ("a youth club", "cheaper bus fares", "a warm room for pensioners", "repairs to the swimming pool"),
        },
        sentences=(
            (
                "A {kind} owned by the people of {town} began to supply {homes} homes on {day}.",
                "Some {homes} homes get their power from a {kind} that opened on {day} and belongs to "
                "people in {town}.",
            ),
            (
                "It cost {cost} million crowns, and {shares} residents bought shares.",
                "The {cost} million crowns came from {shares} residents who bought shares.",
            ),
            ("Profits will go first to the owners and then to {rest}.", "Part of any profit will be spent on {rest}."),
            (
                '"My kettle boiled this morning on something I own," said {p}, one of the shareholders.',
                '"We were told it would never work, by the same people who now want shares," said {p}, a shareholder.',
            ),
            ("A second one may follow near {town2}.", "The group behind it is looking at a field near {town2}."),
        ),
        summaries={
            "headline": "{town} residents switch on their own {kind} for {homes} homes.",
            "passive": "A {kind} in {town} was paid for by {shares} residents at a cost of {cost} million crowns.",
            "subject": "People in {town} now own a {kind} whose profits will help to fund {rest}.",
            "number": "Power for {homes} homes is coming from a {kind} that belongs to {shares} people in {town}.",
            "clause": "Now that {shares} residents have bought shares, {town} has a {kind} of its own.",
            "place": "In {town}, a {kind} funded by its neighbours has started to produce power.",
        },
    ),
    Frame(
        slots={
            "plant": ("coal plant", "gas plant", "oil refinery", "peat works"),
            "staff": range(60, 700, 5),
            "years": range(31, 80),
            "chimney": range(60, 190, 5),
            "next": ("a data centre", "a nature reserve", "a hydrogen works", "a housing estate", "a concert hall"),
        },
        sentences=(
            (
                "The {plant} at {town} was switched off for good on {day} after {years} years.",
                "After {years} years, workers at {town} switched off the {plant} for good on {day}.",
            ),
            (
                "About {staff} people worked there, and most have found other jobs.",
                "Most of the {staff} staff have found work elsewhere.",
            ),
            (
                "The chimney, {chimney} metres high, will be blown up in {month}.",
                "In {month} the chimney, a landmark of {chimney} metres, will be blown up.",
            ),
            (
                '"It was noisy and dirty, and I shall miss it every day," said {p}, who pressed the last button.',
                '"It fed three generations of my family," said {p}, the manager of the last shift.',
            ),
            ("There are plans to use the site for {next}.", "The owner hopes to see {next} on the site."),
        ),
        summaries={
            "headline": "{town} {plant} goes dark after {years} years.",
            "passive": "The {plant} at {town}, where {staff} people worked, has been shut down.",
            "subject": "A chimney of {chimney} metres will be demolished in {town} now that the {plant} has closed.",
            "clause": "With its {plant} closed after {years} years, {town} may see {next} on the site.",
            "place": "At {town}, {p} was there as the {plant} stopped work for the last time.",
            "nominal": "The end of {years} years of work: the {plant} in {town} is no more.",
        },
    ),
    Frame(
        slots={
            "pct": range(9, 38),
            "bill": range(70, 240, 2),
            "fix": (
                "thicker curtains",
                "lids on pans",
                "shorter showers",
                "a timer on the boiler",
                "brushes under doors",
            ),
            "homes": range(45, 600, 5),
            "weeks": _SMALL[2:],
        },
        sentences=(
            (
                "Households in {town} cut their use of energy by {pct} per cent in an experiment with {fix}.",
                "An experiment with {fix} in {town} has cut the use of energy by {pct} per cent.",
            ),
            (
                "It involved {homes} homes and ran for {weeks} weeks until {month}.",
                "For {weeks} weeks until {month}, {homes} homes took part.",
            ),
            ("The average family saved {bill} crowns.", "The saving for an average family was {bill} crowns."),
            (
                '"We turned it into a contest with next door, and we lost," said {p}, who took part.',
                '"The children became little inspectors," said {p}, who took part with a family of five.',
            ),
            (
                "{q}, who designed the study, warned that habits fade and plans to return in a year.",
                "Habits fade, warned {q}, who designed the study and will check again in a year.",
            ),
        ),
        summaries={
            "headline": "{town} homes save {pct} per cent of energy with {fix}.",
            "number": "An average of {bill} crowns was saved by families in {town} who tried {fix}.",
            "passive": "Energy use was reduced by {pct} per cent in {homes} homes in {town}.",
            "subject": "A study led by {q} found that {fix} can lower energy use by {pct} per cent.",
            "contrast": "An energy experiment in {town} was a success, but {q} fears that old habits may return.",
            "clause": "By trying {fix} for {weeks} weeks, households in {town} each saved about {bill} crowns.",
        },
    ),
)

_MUSEUM = (
    Frame(
        slots={
            "object": (
                "a brass telescope",
                "a painted drum",
                "a wedding dress",
                "a clockwork bird",
                "a ship's bell",
                "a carved chess set",
            ),
            "years": range(14, 72),
            "spot": (
                "behind a boiler",
                "in a box marked as light bulbs",
                "under a staircase",
                "in the wrong cabinet",
                "beneath a stage",
            ),
            "value": range(8, 130),
        },
        sentences=(
            (
                "The museum in {town} has found {object} that went missing {years} years ago.",
                "{object} that vanished from the museum in {town} {years} years ago has been found.",
            ),
            (
                "It turned up {spot} when workers came to mend a pipe on {day}.",
                "Workers mending a pipe on {day} came across it {spot}.",
            ),
            ("The piece is worth about {value},000 crowns.", "Experts put its value at {value},000 crowns."),
            (
                '"We had accused a burglar, and I should like to apologise to him," said the curator, {p}.',
                '"It had been a few steps from my desk all along," said the curator, {p}.',
            ),
            ("It will go on show in {month}.", "Visitors can see it from {month}."),
        ),
        summaries={
            "headline": "{town} museum finds {object} lost for {years} years.",
            "passive": "{object}, missing for {years} years, was discovered {spot} at a museum in {town}.",
            "subject": "Workers mending a pipe in {town} have solved the mystery of {object}.",
            "place": "At the museum in {town}, {object} worth {value},000 crowns has reappeared {spot}.",
            "said": "Curator {p} admits that {object} thought to be stolen never left the museum in {town}.",
            "clause": "Thought to have been lost for good, {object} will be shown in {town} from {month}.",
        },
    ),
    Frame(
        slots={
            "theme": ("umbrellas", "lighthouses", "bread", "bicycle bells", "maps with mistakes", "knitting", "keys"),
            "items": range(210, 3900, 10),
            "fee": _SMALL,
            "lent": range(15, 130),
            "odd": (
                "a piece made for a giant",
                "one that survived a shipwreck",
                "a set owned by a spy",
                "a forgery that fooled a king",
            ),
        },
        sentences=(
            (
                "A museum devoted to {theme} has opened on {street} in {town}.",
                "{town} now has a museum devoted to {theme}, which opened on {street} on {day}.",
            ),
            (
                "Its {items} exhibits, among them {odd}, were collected by {p}.",
                "{p} collected the {items} exhibits, among them {odd}.",
            ),
            (
                "Entry costs {fee} crowns, and children go in free.",
                "Adults pay {fee} crowns, and children pay nothing.",
            ),
            (
                '"My family wanted the spare room back," said {s}.',
                '"People laugh on the way in and go quiet on the way round," said {s}.',
            ),
            ("Local people have lent {lent} more pieces.", "A further {lent} pieces are on loan from local people."),
        ),
        summaries={
            "headline": "Museum of {theme} opens in {town} with {items} exhibits.",
            "subject": "Collector {p} has opened a museum in {town} devoted to {theme}.",
            "passive": "A collection of {items} exhibits about {theme} can now be seen on {street} in {town}.",
            "place": "On {street} in {town}, visitors can pay {fee} crowns to learn about {theme}.",
            "nominal": "One private passion, {items} exhibits about {theme}: {town} has gained an unusual museum.",
            "purpose": "Wishing to share a collection about {theme}, {p} has founded a museum in {town}.",
        },
    ),
    Frame(
        slots={
            "thing": (
                "a bronze mask",
                "a ceremonial cloak",
                "a carved canoe",
                "a pair of stone lions",
                "a royal stool",
            ),
            "years": range(85, 190),
            "visits": range(20, 95),
            "isle": ("Tavora", "Mirrim", "Ocanda", "Belluar", "Sennet"),
            "swap": ("a new carving", "a copy made by students", "a set of photographs", "a long loan of textiles"),
        },
        sentences=(
            (
                "The museum in {town} will return {thing} to the island of {isle}, which it left {years} years ago.",
                "After {years} years, {thing} in the museum in {town} is to go back to the island of {isle}.",
            ),
            (
                "Trustees made the decision on {day}, following a visit by the historian {p} from the island.",
                "The trustees agreed on {day} to a request brought by {p}, a historian from the island.",
            ),
            ("In exchange the museum will receive {swap}.", "The museum will be given {swap} in exchange."),
            (
                '"My grandmother described it to me, although she had never seen it," said {s}.',
                '"Some things are lonely in a glass case," said {s}.',
            ),
            (
                "At present the exhibit draws about {visits},000 visitors a year.",
                "The exhibit has been seen by about {visits},000 people a year.",
            ),
        ),
        summaries={
            "headline": "{town} museum to return {thing} to {isle} after {years} years.",
            "passive": "{thing} held in {town} will be sent home to the island of {isle}.",
            "subject": "Trustees in {town} have agreed to give back {thing} at the request of {p}.",
            "clause": "In exchange for {swap}, the museum in {town} is giving {thing} back to {isle}.",
            "contrast": "Although {visits},000 people a year come to see it, {thing} will leave {town}.",
            "number": "It is {years} years since {thing} left {isle}, and now {town} is returning it.",
        },
    ),
)

_FARMING = (
    Frame(
        slots={
            "years": range(11, 40),
            "crop|were": (
                "barley|was",
                "oats|were",
                "apples|were",
                "hops|were",
                "onions|were",
                "wheat|was",
                "lavender|was",
            ),
            "pct": range(12, 48),
            "early": _SMALL[:3],
            "farms": range(18, 160),
            "luck": ("a mild spring", "gentle rain in May", "the lack of a late frost", "a new variety of seed"),
        },
        sentences=(
            (
                "Farmers around {town} have brought in their best harvest of {crop} for {years} years.",
                "The harvest of {crop} around {town} is the best for {years} years.",
            ),
            (
                "The {crop} {were} ready {early} weeks early, thanks to {luck}.",
                "Thanks to {luck}, the {crop} {were} ready {early} weeks early.",
            ),
            (
                "Yields rose by {pct} per cent on the {farms} farms that report to the union.",
                "On {farms} farms the yield rose by {pct} per cent, according to their union.",
            ),
            (
                '"I have nothing to complain about, which makes me nervous," said {p}, a farmer.',
                '"We ran out of sacks on {day}," said {p}, a farmer.',
            ),
            (
                "The fall in price that follows will please bakers and cooks more than growers.",
                "Prices have slipped as a result.",
            ),
        ),
        summaries={
            "headline": "{town} farmers celebrate best {crop} harvest for {years} years.",
            "passive": "A record harvest of {crop} has been gathered around {town}, {early} weeks ahead of time.",
            "subject": "Growers near {town} saw yields of {crop} rise by {pct} per cent.",
            "number": "Yields are up by {pct} per cent on {farms} farms around {town} that grow {crop}.",
            "clause": "Thanks to {luck}, the {crop} {were} gathered early around {town}.",
            "place": "Around {town}, {luck} has given farmers their finest harvest of {crop} for {years} years.",
        },
    ),
    Frame(
        slots={
            "beast": ("sheep", "goats", "geese", "ponies", "cattle"),
            "count_word": ("thirty", "forty", "sixty", "about ninety", "more than a hundred", "almost two hundred"),
            "gap": ("a broken gate", "a hole in a hedge", "a fallen wall", "a gate left open by walkers"),
            "spot": ("the main square", "the railway station", "a supermarket", "the town hall", "a garden centre"),
            "hours": _SMALL,
        },
        sentences=(
            (
                "{count_word} {beast} brought {town} to a halt on {day} when they walked into {spot}.",
                "{town} came to a halt on {day} when {count_word} {beast} walked into {spot}.",
            ),
            (
                "They had escaped through {gap} on a farm {hours} miles away.",
                "The animals had got out through {gap} at a farm {hours} miles from the town.",
            ),
            (
                "It took police and two dogs until dusk to collect them all.",
                "Police officers, helped by two sheepdogs, had them all back by dusk.",
            ),
            (
                '"They seemed to know exactly where they were going," said {p}, who saw them pass along {street}.',
                '"They were better behaved than the traffic," said {p}, who saw them pass along {street}.',
            ),
            (
                "The farmer, {q}, has offered to pay for the flowers they ate.",
                "{q}, the farmer, has said sorry and sent eggs to the police.",
            ),
        ),
        summaries={
            "headline": "Runaway {beast} bring {town} to a standstill.",
            "passive": "{spot} in {town} was invaded by {count_word} {beast} that had escaped from a farm.",
            "subject": "Police rounded up {count_word} {beast} in {town} after they wandered into {spot}.",
            "clause": "After escaping through {gap}, {count_word} {beast} made their way to {spot} in {town}.",
            "place": "On {street} in {town}, {p} was among those who watched a crowd of {beast} go by.",
            "result": "{gap} at a farm let {count_word} {beast} reach {town} and kept police busy on {day}.",
        },
    ),
    Frame(
        slots={
            "crop": ("tea", "saffron", "olives", "peaches", "rice", "hazelnuts"),
            "acres": range(3, 40),
            "years": _SMALL[1:],
            "first": range(40, 900, 10),
            "doubt": ("neighbours", "the bank", "an older brother", "the seed merchant", "an agricultural college"),
        },
        sentences=(
            (
                "A farmer near {town} has harvested a first crop of {crop}, {years} years after planting it.",
                "{years} years after planting it, a farmer near {town} has harvested a first crop of {crop}.",
            ),
            (
                "{p} parted with the dairy cows and gave {acres} acres to it, ignoring the advice of {doubt}.",
                "Against the advice of {doubt}, {p} sold the dairy cows and turned {acres} acres over to it.",
            ),
            ("The harvest came to {first} kilos.", "In the end there were {first} kilos to weigh."),
            (
                '"Cows never let me sleep, and a field is silent," said {s}.',
                '"I read one book and bought one hat," said {s}.',
            ),
            ("A restaurant in {town2} has ordered all of it.", "All of it has been sold to a restaurant in {town2}."),
        ),
        summaries={
            "headline": "Farmer near {town} picks first crop of {crop}.",
            "subject": "{p}, once a dairy farmer, has produced {first} kilos of {crop} near {town}.",
            "passive": "A first harvest of {crop} grown near {town} has been sold to a restaurant in {town2}.",
            "contrast": "Despite advice from {doubt}, a farmer near {town} succeeded in growing {crop}.",
            "number": "On {acres} acres near {town}, {p} has swapped cows for {crop}.",
            "clause": "It took {years} years, but {crop} planted near {town} by {p} has borne a harvest.",
        },
    ),
)

_HOUSING = (
    Frame(
        slots={
            "homes": range(24, 340, 2),
            "cheap": range(20, 61, 5),
            "rooms": ("one or two", "two or three"),
            "site": (
                "the old biscuit factory",
                "a former bus depot",
                "the goods yard",
                "a closed prison",
                "the barracks",
            ),
            "worry": ("traffic", "the loss of allotments", "school places", "flooding", "the height of the blocks"),
        },
        sentences=(
            (
                "Work has begun on {homes} homes on the site of {site} in {town}.",
                "Builders moved on to the site of {site} in {town} on {day} to start work on {homes} homes.",
            ),
            (
                "Each will have {rooms} bedrooms, and {cheap} per cent are to be let at low rents.",
                "Low rents are promised for {cheap} per cent of them, and each has {rooms} bedrooms.",
            ),
            ("Some residents remain unhappy about {worry}.", "Objectors had raised concerns about {worry}."),
            (
                '"My own children had to move away, and I want others to have the choice," said the architect, {p}.',
                '"We have kept the old brick arch so that nobody forgets what was here," said the architect, {p}.',
            ),
            (
                "The first tenants should arrive in {month} of next year.",
                "Tenants are expected from {month} of next year.",
            ),
        ),
        summaries={
            "headline": "Work starts on {homes} homes at {site} in {town}.",
            "passive": "{homes} homes are being built in {town}, with {cheap} per cent at low rents.",
            "place": "On the site of {site} in {town}, builders have started on {homes} homes.",
            "contrast": "Despite concern about {worry}, construction of {homes} homes has begun in {town}.",
            "subject": "A scheme by the architect {p} will turn {site} in {town} into homes.",
            "there": "There will be {homes} new homes in {town}, the first of them ready in {month} of next year.",
        },
    ),
    Frame(
        slots={
            "flats": range(16, 120, 2),
            "rise": range(14, 46),
            "weeks": _SMALL[1:],
            "fault": ("a broken lift", "damp walls", "a lack of hot water", "rats in the cellar", "leaking windows"),
            "deed": (
                "hung sheets from the balconies",
                "slept in the town hall",
                "refused to pay",
                "invited the owner to stay",
            ),
        },
        sentences=(
            (
                "Tenants of {flats} flats on {street} in {town} have won their fight against a rent rise of {rise} per "
                "cent.",
                "A rent rise of {rise} per cent for {flats} flats on {street} in {town} has been cancelled.",
            ),
            (
                "The tenants had complained for {weeks} weeks about {fault} and had {deed}.",
                "Tired of {fault} after {weeks} weeks of protest, the tenants had {deed}.",
            ),
            (
                "The owner gave way on {day} after talks led by the mayor.",
                "After talks led by the mayor, the owner gave in on {day}.",
            ),
            (
                '"I am 74, and I had never made a banner before," said {p}, a tenant.',
                '"We hardly knew each other, and now we have a choir," said {p}, a tenant.',
            ),
            ("Repairs must be complete by {month}.", "The owner has promised to finish repairs by {month}."),
        ),
        summaries={
            "headline": "Tenants in {town} defeat rent rise of {rise} per cent.",
            "passive": "A rent rise planned for {flats} flats in {town} was withdrawn after protests.",
            "subject": "People living with {fault} on {street} in {town} will not have to pay more.",
            "clause": "Having {deed}, tenants in {town} have forced their landlord to cancel a rent rise.",
            "place": "On {street} in {town}, a campaign over {fault} has ended in victory for the tenants.",
            "number": "It took {weeks} weeks of protest to save {flats} households in {town} from a rent rise.",
        },
    ),
    Frame(
        slots={
            "what": ("a windmill", "a water tower", "a signal box", "a lighthouse", "a chapel", "a pigeon loft"),
            "years": _SMALL[1:],
            "cost": range(90, 480, 5),
            "quirk": (
                "a bath on the roof",
                "a slide in place of stairs",
                "a round bed",
                "a kitchen in the cellar",
                "a front door three metres up",
            ),
        },
        sentences=(
            (
                "{p} has spent {years} years turning {what} near {town} into a home.",
                "{what} near {town} has become a home after {years} years of work by {p}.",
            ),
            (
                "The conversion cost {cost},000 crowns and includes {quirk}.",
                "For {cost},000 crowns the new owner has gained {quirk} and a view of the {river}.",
            ),
            (
                "It won a prize on {day} from a society that protects old buildings.",
                "A society that protects old buildings gave it a prize on {day}.",
            ),
            (
                '"There is not one straight wall for a bookcase," said {s}.',
                '"My friends thought I was mad, and now they want to stay," said {s}.',
            ),
            (
                "It will be open to the public for a weekend in {month}.",
                "The public may look round on one weekend in {month}.",
            ),
            ("", "A neighbour, {q}, laid most of the floors."),
        ),
        summaries={
            "headline": "{p} turns {what} near {town} into prize-winning home.",
            "passive": "{what} near {town} has been converted into a home at a cost of {cost},000 crowns.",
            "subject": "A home made from {what} near {town} has won a prize and boasts {quirk}.",
            "number": "After {years} years of work, {what} near {town} is fit to live in.",
            "place": "Near {town}, {what} with {quirk} will welcome visitors for a weekend in {month}.",
            "participle": "Admired by a society for old buildings, {what} near {town} now serves as a home.",
        },
    ),
)

FRAMES: dict[str, tuple[Frame, ...]] = {
    "council": _COUNCIL,
    "sport": _SPORT,
    "weather": _WEATHER,
    "archaeology": _ARCHAEOLOGY,
    "transport": _TRANSPORT,
    "start-ups": _STARTUPS,
    "hospital": _HOSPITAL,
    "festival": _FESTIVAL,
    "fishing": _FISHING,
    "schools": _SCHOOLS,
    "courts": _COURTS,
    "wildlife": _WILDLIFE,
    "energy": _ENERGY,
    "museum": _MUSEUM,
    "farming": _FARMING,
    "housing": _HOUSING,
}
