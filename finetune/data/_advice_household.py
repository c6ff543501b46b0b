"""House and garden: situations, and what is right and wrong advice on them (`_advice_medical` describes the form)."""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# blocked drain
how: clear a blocked drain {x}
case: The drain is blocked {x}
x: in the shower | in the kitchen | in the bathroom sink | in the laundry room
- Pull out [hair and dirt by hand first|nothing and pour fat in first], then use [a plunger|more fat].
- Rinse [with hot water and washing soda|with coffee grounds and flour], which [loosens the grease|swells up the grease].
- Put [a sieve over the drain|food scraps in the drain], so that it [stays free|stays busy].

# dripping tap
how: fix a dripping tap {x}
case: The tap keeps dripping {x}
x: in the kitchen | over the bath | in the garden | at night
- Turn [the water off first|the water up first], and put [a bowl below|your papers below].
- Replace [the worn washer|the whole wall], since [that is what leaks|a washer never wears].
- Tighten [it by feel|it with all your force], because [too much breaks the thread|threads like it brutal].

# mould
how: get rid of mould {x}
case: There is mould {x}
x: in the bedroom corner | behind the wardrobe | around the window | in the bathroom
- Air the room [briefly and fully, some times a day|with a tilted window, once a month], and [heat evenly|heat never].
- Remove it [with alcohol and gloves|with bare hands and milk], and find [the source of damp|a paint to hide it].
- Keep [furniture a hand from outer walls|furniture pressed to outer walls], so that [air can pass|damp can stay].

# squeaky hinge
how: stop a door from squeaking {x}
case: The door squeaks {x}
x: in the hall | at night | in the nursery | on the garden shed
- Lift [the pin out and oil it lightly|the pin out and sand it dry], then [move the door|glue the door].
- Wipe [old dirt off the hinge first|new dirt on the hinge first], as [grit causes the noise|grit muffles the noise].
- Check [whether the screws are tight|whether the screws can go], since [a sagging door rubs|a sagging door rests].

# hanging shelf
how: hang a shelf {x}
case: I want to hang a shelf {x}
x: on plasterboard | over the sofa | for heavy books | in the kitchen
- Look for [cables and pipes with a detector|cables and pipes with the drill] before [you drill|you stop].
- Choose [plugs that suit the wall|any plug that is cheap], because [each wall needs its own|every wall is alike].
- Use [a level and mark the holes|your eye and skip the marks], so that [it hangs straight|it hangs somehow].

# power outlet
how: deal with a loose power outlet {x}
case: A power outlet is loose {x}
x: in the living room | behind the desk | in the kitchen | in the hall
- Switch off [the fuse and test that it is dead|the lamp and trust that it is dead], before [you touch it|you worry].
- Call [an electrician if wires are dark or warm|a neighbour if wires are dark or warm], as [that is a fire risk|that is quite normal].
- Plug [no heater into it until it is fixed|a heater into it until it is fixed], since [loose contacts glow|loose contacts rest].

# smoke alarm
how: look after smoke alarms {x}
case: I have smoke alarms {x}
x: in a rented flat | in the attic | in the children's room | that beep
- Test them [with the button once a month|by hoping for the best once a year], and change [the battery in time|the subject in time].
- Mount them [on the ceiling, in the middle|in a cupboard, at the back], because [smoke rises|smoke sinks].
- Replace [them after ten years|them after ten fires], as [the sensor ages|the sensor matures].

# laundry colours
how: wash clothes {x}
case: My clothes come out wrong {x}
x: with red socks | of wool | with stains | that are new
- Sort [by colour and read the label|by owner and tear off the label], and wash new things [apart|with white].
- Choose [a cool cycle for wool|a boiling cycle for wool], as [heat felts it|heat frees it].
- Leave [some room in the drum|no room in the drum], because [clothes must move|clothes must stick].

# red wine stain
how: remove {x} from a carpet
case: There is {x} on my carpet
x: red wine | coffee | tomato sauce | ink
- Dab it [at once with a clean cloth|next week with a stiff brush], from [the edge inwards|the middle outwards].
- Use [cold water and a little soap|hot iron and a little salt], and test it [on a hidden spot|on no spot].
- Dry it [with paper under a weight|with dust under a shoe], then [air the room|roll it up wet].

# houseplants
how: keep houseplants alive {x}
case: My houseplants are dying {x}
x: in the office | on a sunny sill | in winter | while I travel
- Water [when the top soil is dry|when the pot overflows], since [most die of too much|none ever die of too much].
- Choose [a place with the light they need|a place with the look you need], and [turn them now and then|shake them now and then].
- Use pots [with a hole and a saucer|with no hole and no saucer], so that [roots do not rot|roots can soak for good].

# tomatoes
how: grow tomatoes {x}
case: My tomatoes do badly {x}
x: on a balcony | in a greenhouse | after rain | in pots
- Water [the soil, not the leaves|the leaves, not the soil], because [wet leaves get blight|dry leaves get blight].
- Give them [sun and a stake|shade and a weight], and pinch out [side shoots|all flowers].
- Plant them [out after the last frost|out before the last frost], as [cold kills them|cold hardens them].

# slugs
how: keep slugs off {x}
case: Slugs eat my {x}
x: lettuce | strawberries | dahlias | young beans
- Collect [them in the evening|them in a warm bed], and water [in the morning|all night long].
- Put up [a fence or copper tape|a ladder or lettuce path], which [they do not cross|they like to climb].
- Lay [boards and gather them below|beer out and leave it to spread], since [they hide there by day|they soon lose their way].

# lawn
how: care for a lawn {x}
case: My lawn looks poor {x}
x: in summer | under trees | after winter | full of moss
- Cut [no more than a third at a time|all of it down to the soil], and [less in a drought|more in a drought].
- Water [rarely but deeply|often but barely], so that [roots grow down|roots stay up].
- Feed it [in spring and loosen the soil|in frost and press the soil], because [grass needs air below|grass hates air below].

# pruning
how: prune {x}
case: I have to prune {x}
x: an apple tree | roses | a hedge | a grape vine
- Cut [with clean, sharp shears|with dirty, blunt shears], just above [an outer bud|a weak spot].
- Do it [at the right time for the plant|at the hottest hour of the year], since [sap and birds matter|plants never notice].
- Take out [dead and crossing wood first|young and healthy wood first], so that [light gets in|gloom gets in].

# compost
how: make compost {x}
case: My compost smells {x}
x: in a small garden | in summer | from kitchen waste | in a bin
- Mix [wet scraps with dry leaves|wet scraps with cooked meat], and [turn it now and then|never let air in].
- Leave out [meat, cheese and cooked food|leaves, twigs and eggshells], as [they draw rats|they feed worms].
- Keep it [as moist as a wrung cloth|as wet as a full bath], in [half shade|full sun].

# candles
how: use candles safely {x}
case: I love candles {x}
x: on the tree | in the bedroom | near curtains | at dinner
- Put them [on a firm plate, away from cloth|on a soft cushion, close to cloth], and [stay in the room|go off to sleep].
- Blow them out [before you leave|after you come home], even [for a minute|after days].
- Trim [the wick to half a centimetre|the glass to half a centimetre], which [keeps the flame low|keeps the flame tall].

# cleaning products
how: use cleaning products {x}
case: I bought strong cleaning products {x}
x: for the bathroom | for the oven | for the drain | for the floor
- Use [one product at a time|no product as labelled], and open [the window|nothing].
- Wear [gloves and read the label|rings and skip the label], since [they burn skin|they soften skin].
- Keep them [in their bottles, out of reach|in unmarked bottles, in reach], so that [no child drinks them|nobody has to search].

# moving boxes
how: pack boxes {x}
case: I have to pack boxes {x}
x: for a move | with books | with china | in one day
- Put [heavy things in small boxes|heavy things in huge boxes], as [backs and bottoms break|size carries weight].
- Wrap [each plate and stand it upright|no plate and lay it flat], with [paper between|stones between].
- Write [room and content on the side|nothing at all on the side], which [saves hours|keeps it exciting].

# ladder
how: use a ladder {x}
case: I have to go up a ladder {x}
x: to clean the gutter | to paint | to change a bulb | to pick cherries
- Set it [on firm ground, one foot out for four up|on loose bricks, as steep as it will go].
- Keep [three points of contact|one point of contact], and lean [no further than the rails|as far as you can].
- Have [somebody hold it|nobody near it], and wear [firm shoes|loose slippers].

# painting a wall
how: paint a wall {x}
case: I want to paint a wall {x}
x: in the nursery | over dark paint | with damp spots | in the kitchen
- Clean [and prime it first|nothing and start at once], and tape [the edges|the windows open].
- Let [the first coat dry fully|the first coat stay wet], then add [the second|sand].
- Roll [from wet into dry, in one go|from dry into wet, over days], so that [no edges show|all edges show].

# frozen pipes
how: keep pipes from freezing {x}
case: I fear that pipes will freeze {x}
x: in the attic | in the holiday house | at the garden tap | this winter
- Empty [outdoor pipes and close the valve|indoor tanks and open the valve] before [the frost|the thaw].
- Wrap [them in foam and keep some heat|them in wet rags and cut the heat], as [ice bursts them|ice seals them].
- Thaw [gently, with warm cloths|quickly, with a hammer], from [the tap end|the far end].

# gas smell
how: act when it smells of gas {x}
case: It smells of gas {x}
x: in the kitchen | in the cellar | in the stairwell | in the camper
- Open [the windows and get out|a window next week], and call [from outside|nobody].
- Leave [all switches as they are|the stove on for the night], because [a spark is enough|gas is no problem].
- Close [the gas tap if you can|the door to the gas tap], and warn [the neighbours|nobody].

# heating costs
how: save on heating {x}
case: My heating bill is too high {x}
x: in an old house | with tall windows | in a rented flat | this winter
- Set [each room one degree lower|each room ten degrees higher], which [saves about six percent|trains the boiler well].
- Keep [radiators free of furniture|radiators behind furniture], so that [warm air can spread|warm air can rest].
- Seal [gaps at windows and doors|radiators and valves], and close [shutters at night|shutters at noon].

# fridge
how: get the most from a fridge {x}
case: My fridge uses a lot of power {x}
x: in a hot kitchen | since it got icy | in a small flat | in summer
- Set [it to seven degrees or below|it to seventeen degrees or above], and keep [the door shut|the door ajar].
- Thaw [the ice now and then|the food now and then], as [ice makes it work harder|ice does its work for it].
- Let [food cool before you put it in|food boil before you put it in], and place it [away from the stove|next to the stove].

# dishwasher
how: load a dishwasher {x}
case: The dishes stay dirty {x}
x: in the dishwasher | on the top rack | after each wash | in a new machine
- Scrape [leftovers off but do not rinse|leftovers on and never scrape], and [clean the filter|block the filter].
- Place [dirty sides to the middle|dirty sides to the wall], with [space between|no space between].
- Check [that the arms can turn|that the arms are tied], and add [salt and rinse aid|flour and hand soap].

# vacuum cleaner
how: use a vacuum cleaner {x}
case: My vacuum cleaner has lost power {x}
x: on carpets | since the renovation | with pet hair | after a year
- Empty [the bag and clean the filters|the room and skip the filters], as [air has to flow|air has to stop].
- Pull [hair out of the brush|hair into the brush], with [the plug out|the plug in].
- Pick up [glass and ash by other means|glass and ash with it first], since [they damage it|they clean it].

# moths
how: get rid of moths {x}
case: I have moths {x}
x: in the flour | in my jumpers | in the pantry | in the wardrobe
- Throw away [what is infested, in a closed bag|what is clean, in an open bag], and [wipe every crack|leave every crack].
- Store [things in tight jars or bags|things in open bowls or heaps], where [none can get in|all can get in].
- Freeze [clothes for some days|windows open for some days], because [cold kills the larvae|cold wakes the larvae].

# mice
how: get rid of mice {x}
case: There are mice {x}
x: in the cellar | behind the oven | in the shed | in the holiday home
- Close [gaps as small as a pencil|doors as small as a house], with [steel wool|soft cheese].
- Keep [food in tins and clear crumbs|food in bags and spread crumbs], since [they stay where they eat|they go where they eat].
- Set [traps along the walls|cushions along the walls], with [a bit of nut butter|a bit of clean soap].

# assembling furniture
how: assemble {x}
case: I have to assemble {x}
x: a wardrobe | a desk | a bunk bed | a bookcase
- Count [all parts before you start|all parts after you finish], and read [each step|no step].
- Tighten [the screws at the very end|the screws at the very start], so that [parts can still shift|parts can never shift].
- Fix [tall pieces to the wall|tall pieces to the rug], because [they can tip on a child|they can sway with grace].

# noise
how: make a room quieter {x}
case: It is too loud {x}
x: in the bedroom | next to the street | in the open kitchen | above the bar
- Hang [thick curtains and lay rugs|thin foil and lay tiles], since [soft things swallow sound|hard things swallow sound].
- Seal [the gaps around doors|the cushions around chairs], as [sound comes through cracks|sound comes through chairs].
- Put [a full bookcase on that wall|a bare mirror on that wall], which [adds mass|adds echo].

# storing tools
how: store tools {x}
case: My tools are rusting {x}
x: in the shed | in a damp garage | over winter | in a box
- Wipe [and oil them after use|and wet them after use], and hang [them up|them out].
- Keep [batteries dry and cool|batteries damp and hot], and [half charged|quite empty].
- Lock [sharp ones away from children|blunt ones away from children], and [cover the blades|bare the blades].

# window cleaning
how: clean windows {x}
case: My windows have streaks {x}
x: in the sun | on the outside | after rain | high up
- Work [on a cloudy day|in the blazing sun], because [water dries too fast in the sun|streaks melt away in the sun].
- Use [little soap and a rubber blade|much soap and a greasy rag], from [top to bottom|bottom to top].
- Change [the water when it is dirty|the window when it is dirty], and dry [the edges|the garden].

# bed and mattress
how: care for a mattress {x}
case: My mattress has become uncomfortable {x}
x: after eight years | on one side | in the guest room | in a damp room
- Turn it [every few months|every few decades], so that [it wears evenly|one side wears out].
- Air it [each morning before you make the bed|each evening under a plastic sheet], as [bodies give off water|water keeps it fresh].
- Use [a cover that you can wash|a cover that you cannot wash], and wash [it hot|it never].

# pet hair
how: keep a home clean {x}
case: I find it hard to keep the house clean {x}
x: with two cats | with a muddy dog | with small children | in a large flat
- Do [a little every day|it all every other year], with [a fixed order of rooms|no order of rooms].
- Brush [the animals and wipe paws at the door|the carpets and wipe paws on the bed].
- Work [from top to bottom|from bottom to top], since [dust falls down|dust climbs up].

# emergency kit
how: prepare {x} for a power cut
case: I want to prepare {x} for a power cut
x: a flat | a house | a farm | an office
- Keep [a torch and spare batteries at hand|a lamp and spare plugs at hand], in [a known place|a secret place].
- Store [water and food for some days|ice and cream for some days], which [need no cooking|need a freezer].
- Unplug [sensitive devices|smoke alarms], because [the power may surge as it returns|the silence may be pleasant].

# barbecue ash
how: get rid of ash {x}
case: I have to get rid of ash {x}
x: from the stove | from the barbecue | from the fireplace | from a fire bowl
- Let it cool [for two days in a metal bucket|for two minutes in a paper bag], since [embers glow for long|embers die at once].
- Keep [the bucket outdoors with a lid|the bucket indoors with no lid], on [stone|carpet].
- Spread [a little clean wood ash in the garden|a lot of painted wood ash in the garden].

# watering on holiday
how: keep plants watered {x}
case: Nobody is there to water the plants {x}
x: for two weeks | during the holidays | on the balcony | in August
- Move [pots together into the shade|pots apart into the sun], which [slows drying|speeds drying].
- Use [a wick from a jug of water|a wick from a jug of oil], and test it [before you leave|once you are back].
- Ask [a neighbour and leave notes|nobody and leave hopes], with [a key|no key].

# paint disposal
how: dispose of {x}
case: I have to dispose of {x}
x: old paint | a broken lamp | used batteries | engine oil
- Bring it [to the collection point|to the nearest stream], because [it poisons soil and water|it thins out by itself].
- Keep it [in its container, closed|in a bottle for juice, open], until [you can go|you forget].
- Ask [the shop, which often takes it back|the shop, which often drinks it up] when [you buy new|you feel like it].

# wooden floor
how: look after a wooden floor {x}
case: I worry about my wooden floor {x}
x: in the hall | with a dog | under a desk | after sanding
- Wipe [with a well wrung cloth|with a dripping wet cloth], since [water makes wood swell|wood should swell].
- Put [felt under chairs|metal under chairs], and a mat [at the door|in the car].
- Oil or wax [it as the maker says|it with frying fat], once [it looks dull|it looks fine].

# bicycle storage
how: store a bicycle {x}
case: I have to store my bicycle {x}
x: over winter | in a small flat | in the cellar | for a year
- Clean [and oil the chain|and salt the chain], and pump [the tyres up|the tyres flat].
- Hang it [in a dry place|in a wet place], off [the ground|the hook].
- Lock it [to something fixed|to something light], even [in the cellar|in your sleep].
"""
