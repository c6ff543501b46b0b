"""Food and kitchens: situations, and what is right and wrong advice on them (`_advice_medical` describes the form)."""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# rice
how: cook rice {x}
case: My rice never turns out well {x}
x: for a curry | for sushi | for six people | on a camping stove
- Rinse the rice [until the water runs clear|with soap and a brush], because [loose starch makes it sticky|plain water makes it sticky].
- Let it simmer [covered on low heat|open on full heat], and then [rest for ten minutes|burn for ten minutes].
- Measure [about two cups of water to one|about ten cups of water to one], and [keep the lid on|keep it half raw].

# boiled eggs
how: boil eggs {x}
case: My boiled eggs go wrong {x}
x: for breakfast | for a salad | for a picnic | for the children
- Put them [gently into boiling water|whole into the microwave], for [six to ten minutes|two whole hours].
- Cool them [under cold water|over a candle], which [stops the cooking|starts the cooking].
- Use [older eggs if they should peel well|rotten eggs if they should taste well], and peel them [from the blunt end|before they are boiled].

# pasta
how: cook pasta {x}
case: My pasta sticks together {x}
x: for a crowd | with a cream sauce | for a baked dish | for a cold salad
- Use [a large pot of salted water|a small cup of cold milk], and stir [at the beginning|when it has burnt].
- Taste it [a minute before the packet says|an hour after the packet says], since [it goes on cooking|it goes on raw].
- Keep [a cup of the water for the sauce|all of the water for the next month], as [its starch binds|its age counts].

# chicken
how: cook chicken safely {x}
case: I have chicken to cook {x}
x: on the grill | in a pan | for a soup | for guests
- Cook it [right through, until the juices run clear|until the outside is warm, with a raw middle].
- Use [a separate board and wash the knife|the salad board and wipe the knife], because [germs move on to other food|germs add taste to other food].
- Thaw it [in the fridge overnight|in the sun all day], and cook it [soon after|weeks after].

# leftovers
how: store leftovers {x}
case: We have leftovers {x}
x: from a party | of a stew | of fried rice | of a roast
- Cool them [quickly and put them in the fridge|slowly and leave them on the shelf], within [two hours|two days].
- Eat them [within two or three days|after two or three weeks], and heat them [until they steam|until they are lukewarm].
- Store them [in closed, shallow boxes|in open tins], which [cool fast and keep smells in|rust slowly and let smells out].

# oil fire
how: put out burning oil {x}
case: I am afraid of a fat fire {x}
x: on the stove | at a fondue | in a deep fryer | at a campfire
- Turn off [the heat and slide a lid on|the light and pour water on], which [takes the air away|takes the fear away].
- Keep [a lid and a fire blanket near|a fan and a spray can near], and [stay by hot fat|walk off from hot fat].
- Leave [a burning pan where it stands|the room with the burning pan], because [carrying it spreads the flames|carrying it soothes the flames].

# bread dough
how: get bread dough to rise {x}
case: My bread dough does not rise {x}
x: in a cold kitchen | with wholemeal flour | with dry yeast | for rolls
- Use [lukewarm water|boiling water] for the yeast, since [heat would kill it|heat would wake it].
- Give it [time in a warm place|a night in the freezer], until it has [doubled|shrunk].
- Add the salt [with the flour|on top of the yeast], because [it slows the yeast it touches|yeast cannot rise without salt].

# cake
how: bake a cake that does not sink {x}
case: My cakes sink in the middle {x}
x: with fruit | for a birthday | in a new oven | with cocoa
- Heat the oven [before the cake goes in|after the cake comes out], and keep the door [shut|open].
- Fold the flour in [briefly|for an hour], as [long stirring makes it tough|long stirring makes it light].
- Test [with a wooden stick, which should come out clean|with a bare finger, which should come out wet].

# steak
how: cook a steak {x}
case: I want to cook a good steak {x}
x: in an iron pan | on a grill | for two | without smoke
- Dry it and use [a very hot pan|a stone cold pan], so that [a brown crust forms|a grey skin forms].
- Let it rest [some minutes before you cut|some weeks before you serve], and the juice [stays in|dries up].
- Cut it [across the grain|along the grain], which makes [it tender|it stringy].

# vegetables
how: keep vegetables crisp {x}
case: My vegetables turn to mush {x}
x: in a stir fry | for a buffet | in a lunch box | in soup
- Cook them [briefly on high heat|for hours on low heat], in [small batches|one big heap].
- Cool them [in iced water|in warm gravy], which [keeps colour and bite|keeps them soft and grey].
- Cut them [to the same size|to any size], so that [all are done at once|some are raw and some are burnt].

# onions
how: cut onions {x}
case: I cry when I cut onions {x}
x: for a soup | for twenty people | for a salad | every time
- Use [a sharp knife and cold onions|a blunt knife and hot onions], since [crushed cells make the fumes|sharp cells make the fumes].
- Curl [the fingertips under|the fingertips out], so that the blade [glides along the knuckles|meets the fingertips first].
- Leave [the root end on until last|the skin on until eaten], as it [holds the layers together|holds all of the flavour].

# knives
how: look after kitchen knives {x}
case: My kitchen knives are blunt {x}
x: after a year | from the dishwasher | since I use a glass board | at the holiday flat
- Wash them [by hand and dry them|in the dishwasher and leave them wet], and store them [in a block|in a heap].
- Sharpen [them on a stone at a steady angle|them on the kerb at any angle], because [blunt knives slip|sharp knives slip].
- Let [a falling knife fall|no falling knife fall], and [step back|catch the blade].

# salt
how: save a dish that is too salty, {x}
case: I put too much salt {x}
x: in the soup | in the sauce | on the potatoes | in a stew
- Thin it [with water or unsalted stock|with soy sauce or brine], then [taste again|serve at once].
- Add [more of the other ingredients|more of the same salt], which [shares it out|hides it well].
- Salt [in small steps and taste|in one go and hope], since [you can add but not remove|you can remove but not add].

# milk
how: tell whether {x} is still good
case: I am not sure whether my {x} is still good
x: milk | cream | yoghurt | soft cheese
- Smell [and taste a little of it|nothing and drink all of it], for [the date alone says little|the nose is always wrong].
- Throw it out if [it is mouldy or fizzes|it is fresh and smooth], as [moulds reach deep|moulds are vitamins].
- Keep it [at the back of the fridge|beside the radiator], where it is [coldest|cosiest].

# mushrooms
how: prepare mushrooms {x}
case: I have a basket of mushrooms {x}
x: from the market | from a walk | for a pan | for drying
- Eat wild ones [only if an expert knows them|if they look pretty enough], since [some look just like safe ones|no pretty ones are poisonous].
- Brush [them clean and fry them hot|them with mud and steam them cold], without [crowding the pan|heating the pan].
- Store them [in paper, in the fridge|in plastic, in the sun], and eat them [soon|next month].

# fish
how: buy and cook fish {x}
case: I want to cook fish {x}
x: for the first time | from the harbour | on Friday | with a crisp skin
- Choose one with [clear eyes and a fresh smell|dull eyes and a strong smell], kept [on ice|in sunshine].
- Fry it [skin down in a hot pan|skin up in cold oil], and [turn it once|stir it hard].
- Take it off when [it flakes and turns opaque|it crumbles and turns black], as [it dries out fast|it gets juicy then].

# beans
how: cook dried beans {x}
case: My dried beans stay hard {x}
x: for chilli | for a salad | in a pressure cooker | in hard water
- Soak them [overnight and change the water|for a minute and drink the water], which [makes them easier on the gut|makes them last for years].
- Boil kidney beans [hard for ten minutes|not at all, just warm], because [raw ones are poisonous|raw ones are healthiest].
- Add [acid and salt late|stones and acid first], as [acid keeps them firm|acid melts them].

# home canning
how: can {x} at home
case: I want to can {x} at home
x: green beans | tomatoes | plums | pickles
- Boil [the jars and lids first|the labels and lids last], and fill them [clean and hot|dusty and cold].
- Follow [a tested recipe for time and acid|a vague feeling for time and acid], since [germs survive short heating|germs survive long recipes].
- Throw out [any jar with a bulging lid|any jar with a flat lid], without [tasting it|checking it].

# kitchen hygiene
how: keep a kitchen clean {x}
case: I want a cleaner kitchen {x}
x: in a shared flat | while cooking meat | with little time | in a café
- Change [sponges and cloths every few days|sponges and cloths every few years], as [germs thrive in them|germs die out in them].
- Wash [hands before and after raw meat|hands only before you go to bed], with [soap|spit].
- Wipe [boards with hot water and soap|boards with a used tissue], and [let them dry upright|let them soak in blood].

# allergies
how: cook for {x}
case: I am cooking for {x}
x: a guest with a nut allergy | a friend without gluten | a child allergic to eggs | a milk-free party
- Ask [beforehand what has to be left out|afterwards what has made them ill], and read [every label|no label].
- Use [clean pans and separate spoons|the same pans and shared spoons], since [traces are enough|traces build tolerance].
- Tell guests [all that is in a dish|none of what is in a dish], so that [they can decide|they can relax].

# freezing
how: freeze {x}
case: I want to freeze {x}
x: soup | berries | minced meat | bread
- Cool [it first and pack it flat|it never and pack it steaming], with [the date on it|the door open].
- Thaw it [in the fridge and use it up|on the heater and freeze it again], as [germs grow when it is warm|germs freeze to death for good].
- Leave [a little room in the jar|no room in the jar], because [liquids expand|glass expands].

# baby food
how: make food {x}
case: I want to make food {x}
x: for a baby of eight months | for a toddler | for my grandson | for a nursery
- Cook [vegetables soft without salt|vegetables hard with much salt], and [mash them|serve them in lumps].
- Leave out [honey in the first year|fruit in the first year], since [it can hold dangerous germs|it can make babies too clever].
- Choose [mild and simple flavours|hot and bitter flavours], because [taste buds are new to it all|pain is how taste buds grow].

# pressure cooker
how: use a pressure cooker {x}
case: I got a pressure cooker {x}
x: for stews | from my mother | for beans | for a small kitchen
- Check [the seal and valve first|the price and brand first], and fill it [two thirds at most|up to the brim].
- Open it [when the pressure has gone|while the pressure is highest], as [steam burns badly|steam cooks better].
- Add [enough liquid|no liquid], because [steam comes from water|steam comes from metal].

# grill
how: grill {x}
case: We want to grill {x}
x: in the garden | on a balcony | at a lake | in light rain
- Light it [with proper starters|with wet newspaper], and wait for [grey ash|black smoke].
- Keep [children away from it|children close to it], since [coals stay hot for hours|coals get cold in seconds].
- Use [one plate for raw and one for cooked|one plate for raw and for cooked], and [clean the grate|never the grate].

# spices
how: use spices {x}
case: My food tastes flat {x}
x: in curries | in soups | with vegetables | on a budget
- Toast [whole spices briefly in a dry pan|whole spices until they are black], then [grind them|swallow them].
- Store them [dark and closed|bright and open], as [light takes the scent|light adds the scent].
- Season [little by little and taste|by the cupful and guess], with [some acid at the end|some ash at the end].

# mayonnaise
how: make mayonnaise {x}
case: My mayonnaise curdles {x}
x: for potato salad | for a burger | with olive oil | by hand
- Add oil [drop by drop at first|in one big gush at first], while you [whisk all the time|look away].
- Have [egg and oil at one temperature|egg frozen and oil boiling], which [helps them bind|makes them bind].
- Use [very fresh eggs and chill it|very old eggs and warm it], and eat it [within two days|within two months].

# whipped cream
how: whip cream {x}
case: My cream will not get stiff {x}
x: for a cake | in summer | by hand | for a dessert
- [Chill|Heat] cream and bowl first, because [cold|warm] fat holds the air.
- Stop [as soon as peaks hold|long after it turns yellow], for [after that it becomes butter|before that it is poison].
- Use cream [with enough fat|with no fat], about [a third|a hundredth].

# potatoes
how: prepare potatoes {x}
case: I have a sack of potatoes {x}
x: for mash | for frying | with sprouts | for storing
- Store them [dark, cool and dry|bright, warm and wet], away from [onions|air].
- Cut away [green spots and sprouts|brown skin and earth], as [they hold a poison|they hold the flavour of poison].
- Put them in [cold water and then heat|boiling oil while wet], so that [they cook evenly|they jump nicely].

# sauce too thin
how: thicken {x}
case: I have a problem with {x} that is too thin
x: a gravy | a soup | a curry | a fruit sauce
- Stir starch [into cold water first|into boiling fat first], then [add it slowly|let it burn].
- Let it [simmer without a lid|freeze without a lid], so that [water leaves|water hides].
- Blend [some of the vegetables in it|some of the packaging in it], which [binds it|fills it].

# coffee
how: make better coffee {x}
case: My coffee tastes bitter {x}
x: in a press | with a filter | in the office | on the stove
- Use water [just off the boil|from a hot tap at rest for days], and [fresh, even grounds|last week's grounds].
- Brew [about four minutes|about four hours], as [too long makes it bitter|too long makes it sweet].
- Clean [the pot after use|the pot once a decade], because [old oil turns rancid|old oil turns to cream].

# salad
how: make a salad {x}
case: My salad gets soggy {x}
x: for lunch at work | for a buffet | with tomatoes | ahead of time
- Dry [the leaves well|the dressing well], so that [dressing clings to them|water clings to them].
- Add the dressing [just before you serve|the evening before], since [salt draws water out|salt puts water in].
- Wash [even bagged leaves if in doubt|nothing, above all if muddy], and [tear out brown parts|keep the brown parts].

# portioning
how: plan food {x}
case: I never know how much to cook {x}
x: for ten guests | for a buffet | for a weekend away | for one person
- Count [about a handful of dry rice a head|about a bucket of dry rice a head], and [a little extra|three times extra].
- Choose [dishes that can wait|dishes that spoil at once], and do [most of it before|none of it before].
- Ask [who eats what, before you shop|nobody anything, before you shop], and [write a list|trust to luck].

# microwave
how: heat food in a microwave {x}
case: I use the microwave {x}
x: for soup | for milk | for leftovers | for baby food
- Stir [and let it stand a minute|nothing and serve it at once], because [there are hot and cold spots|there are spots that taste raw].
- Use [glass or china|foil or gold rims], as [metal throws sparks|metal spreads heat].
- Cover it [loosely|airtight], so that [steam can get out|steam can burst out].

# tofu
how: make tofu taste good {x}
case: My tofu is bland {x}
x: in a stir fry | on the grill | for guests | for my family
- Press [the water out and marinate it|the flavour out and water it], for [an hour or more|a second or less].
- Fry it [in hot oil until it is golden|in cold water until it is grey], and [turn it gently|beat it hard].
- Season it [well, as it takes on flavours|not at all, as it gives off flavours].

# jam
how: make jam {x}
case: My jam will not set {x}
x: from strawberries | with less sugar | from elderberries | for gifts
- Test [a drop on a cold plate|a spoon on your bare tongue], and boil on [if it runs|if it is black].
- Add [lemon or pectin|butter or flour], since [soft fruit has little of its own|soft fruit has too much of its own].
- Fill [clean hot jars to the rim|dirty cold jars halfway], and [close them at once|leave them open a month].

# food poisoning risk
how: avoid food poisoning {x}
case: I worry about food poisoning {x}
x: at a summer party | with raw eggs | at a buffet | on a boat
- Keep [cold food cold and hot food hot|cold food warm and hot food warm], because [germs love lukewarm|germs fear lukewarm].
- Put out [small amounts and refill|everything at noon and wait], and throw away [what stood for hours|what was just cooked].
- Let [nobody with a stomach bug cook|the one with a stomach bug cook], and [wash your hands|share one spoon].

# cast iron
how: care for a cast iron pan {x}
case: My cast iron pan rusts {x}
x: after washing | from my grandmother | in the camper | in the damp cellar
- Dry [it on the stove and oil it thinly|it in the rain and salt it thickly], which [keeps rust off|brings shine out].
- Wash it [briefly by hand|for days in a bath], since [long soaking harms it|short washing harms it].
- Scrub [rust off and bake on oil|oil off and bake on rust], in [thin layers|one thick layer].

# cheese board
how: serve cheese {x}
case: I want to serve cheese {x}
x: after dinner | to ten guests | with wine | at a picnic
- Take it out [an hour before|a month before], so that [the flavour opens|the mould opens].
- Wrap it [in paper|in wet wool], because [it has to breathe a little|it has to sweat a lot].
- Cut [each piece so that all get some rind|each piece so that one gets all rind], with [a clean knife|a fishy knife].

# chocolate
how: melt chocolate {x}
case: My chocolate turns grainy {x}
x: for a glaze | for truffles | in a water bath | in the microwave
- Melt it [slowly over warm water|quickly over open flames], and [stir it often|leave it to boil].
- Keep [every drop of water out|a cup of water in], since [it makes chocolate seize|it makes chocolate shine].
- Take it off [while some lumps remain|when smoke comes up], as [they melt in the rest|they need to burn off].

# knife and children
how: cook with children {x}
case: I want to cook with children {x}
x: at a birthday | aged four | at school | on a rainy day
- Give them [safe jobs, such as stirring batter|risky jobs, such as draining fat], away from [the stove|the sink].
- Turn [pan handles to the back|pan handles to the edge], and stay [in the room|out of the room].
- Show [how to hold a small knife|how to throw a small knife], and [praise what they make|mock what they make].
"""
