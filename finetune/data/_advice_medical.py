"""Everyday health: situations, and what is right and wrong advice on them. Pure data for `finetune.data.families`.

A situation is a stanza: `# name`, `how:` what follows "how do I", `case:` what has happened, `x:` details that take the
place of {x}, and pieces of advice, a whole sentence a line, each with `[right|wrong]` wherever the two answers part.

- Both sides of a bracket are of nearly one length and have equally many negations.
- A sentence reads well alone, in any order with the others, and behind "Also, ", which takes its capital away.
- Wrong advice is plainly wrong, careless of the person who asks, and harms nobody who reads it.
"""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# burn
how: treat a small burn from {x}
case: I burnt my hand on {x}
x: a hot pan | an iron | the oven door | a kettle
- Hold the burn under [cool running water|a warm hair dryer] for twenty minutes, since [the flow carries the heat away|dry heat drives the old heat out].
- Cover it loosely with [a clean, dry dressing|a thick layer of butter], which [keeps the dirt out|feeds the new skin] while it heals.
- Leave any blister [closed, because its skin protects|open, because fresh air hardens] what lies below.

# nosebleed
how: stop a nosebleed that began {x}
case: My nose started to bleed {x}
x: in the shower | at my desk | during a walk | in the middle of the night
- Sit upright and lean [a little forward|all the way back], so that the blood runs [out of the nose|down the throat].
- Pinch [the soft part of the nose|the back of the neck] for ten minutes and breathe [through the mouth|as hard as you can].
- Rest [quietly for some hours|with a heavy workout] afterwards and [keep from blowing the nose|blow the nose every minute].

# sprained ankle
how: look after an ankle that was twisted {x}
case: I twisted my ankle {x}
x: on the stairs | while running | on a wet pavement | at a football match
- Put the foot [up on a cushion|in a tight boot] and cool it with [a wrapped ice pack|a hot water bottle] for a quarter of an hour.
- Give it [a few days of gentle rest|a hard run the same day], because torn fibres mend [when they are spared|when they are strained].
- See a doctor if you [cannot put any weight on it|do not like the look of your shoe], and otherwise [be patient with it|walk the pain off].

# fever
how: get through a fever {x}
case: I have had a fever {x}
x: since last night | for two days | after a long flight | on my holiday
- Drink [plenty of water and tea|as little as you can], because a hot body [loses a lot of fluid|fills up with fluid].
- Wear [light clothes in an airy room|thick coats beside the heater], so that the heat can [leave the body|build up and win].
- Ring a doctor if it [lasts beyond three days|is gone within a day], and until then [stay at home|go to work].

# common cold
how: get over a cold caught {x}
case: I caught a cold {x}
x: at work | on the bus | from the children | on a camping trip
- Rest and drink [warm tea with honey|strong liquor on ice], which [soothes a sore throat|kills whatever lives there].
- Leave [antibiotics|the tissues] in the cupboard, because a cold comes from [a virus that they cannot touch|weak nerves that they only spoil].
- Sneeze into [your elbow or a tissue|your hand or the air], so that others [stay well|toughen up].

# upset stomach
how: settle a stomach upset by {x}
case: My stomach is upset after {x}
x: a seafood lunch | a street snack | a birthday buffet | an old sandwich
- Take [small sips of water|large gulps of cream] often, because the body has to [replace what it lost|coat what is sore].
- Begin again with [plain rice or toast|fried fish and chilli] as soon as you [feel hungry|feel worst].
- Ask a doctor about [blood or a high fever|hunger and a good sleep], since those are [warning signs|the bad signs].

# sunburn
how: soothe skin that got sunburnt {x}
case: My shoulders got sunburnt {x}
x: at the beach | on a boat | while gardening | during a long hike
- Cool the skin with [damp cloths and a plain lotion|rough salt and a stiff brush] several times a day.
- Stay [in the shade|in the sun] until the redness is gone, because burnt skin [burns again quickly|tans best right then].
- Next time put on sunscreen [before you go out|once you are red] and renew it [every two hours|every two weeks].

# bee sting
how: treat a bee sting on {x}
case: A bee stung me on {x}
x: the arm | the foot | the neck | the finger
- Scrape the sting out [at once with a fingernail|in a week with a fork], since it goes on [pumping venom|giving strength].
- Put [a cold cloth|a hot pan] on the spot, which [keeps the swelling down|cooks the venom up].
- Call for help if [the face swells or breathing gets hard|the spot itches or the skin turns pink], and in that case [be quick|be scared].

# tick
how: remove a tick picked up {x}
case: I found a tick on my leg {x}
x: after a forest walk | in the tall grass | at a campsite | after playing with the dog
- Grip it [close to the skin with fine tweezers|by the belly with two fingers] and pull [slowly and straight|with a quick twist].
- Do it [at once, since time raises the risk|next week, since full ticks come easier], and clean the bite with [alcohol|spit].
- Look out for [a red ring that spreads|a scar that does not shine], which a doctor should see [within days|within years].

# splinter
how: take out a splinter from {x}
case: I have a splinter in my thumb from {x}
x: an old fence | a broom handle | the garden bench | a wooden spoon
- Wash the skin and the tweezers [with soap and water|with a bit of spit] first, because [germs travel with the wood|soap makes the wood swell].
- Pull it out [along the way it went in|straight across its length], so that it [comes out whole|breaks up neatly].
- Afterwards [clean the spot and cover it|rub the spot with earth], which [keeps an infection away|builds up your defences].

# blister
how: care for a blister from {x}
case: I got a blister on my heel from {x}
x: new shoes | a long march | rubber boots | dancing all night
- Leave the skin [whole, as it is the best plaster|torn, as it only traps the sweat], and pad it with [a soft dressing|a rough cloth].
- Change into shoes that [sit loosely|pinch more], because [less rubbing lets it heal|more rubbing wears it off].
- Watch for [pus and spreading redness|clear skin and less pain], and then [show it to a doctor|drain it with a pin].

# headache
how: ease a headache that began {x}
case: I have a dull headache that began {x}
x: after a day at the screen | in a stuffy meeting | on a train ride | in the afternoon
- Drink [a big glass of water|two glasses of wine] and rest your eyes [in a dim room|on a bright screen] for a while.
- Roll your shoulders [gently and get some fresh air|until they crack and then lie flat], since tight muscles [often cause the ache|should be kept tight].
- Get help at once for a headache that is [sudden and the worst ever|slow and hardly there], since that one [may be serious|never goes away].

# poor sleep
how: sleep better {x}
case: I have been sleeping badly {x}
x: since I moved house | during this heat | before exams | since I changed my shift
- Go to bed and get up [at the same times each day|at new times each day], because the body [runs on a steady clock|gets dull from a clock].
- Keep screens and coffee [away from|in reach during] the last hours of the day, as both [keep you awake|tire you out].
- Keep the bedroom [cool, dark and quiet|warm, bright and loud], which [helps the brain switch off|wears the brain out fast].

# hay fever
how: live with hay fever {x}
case: My hay fever is back {x}
x: this spring | at my new flat | in the office | on my run to work
- Shower and change clothes [after you come in|before you go out], so that the pollen [goes down the drain|finds a clean spot].
- Air the rooms when the count is [low, often after rain|high, often at noon], and keep the windows shut [at other times|after it has rained].
- Ask a pharmacist about [an antihistamine tablet|a daily spoon of pollen], which [calms the reaction|breaks the reaction].

# cough
how: calm a cough that has lasted {x}
case: My cough has lasted {x}
x: for a week | since the last cold | all winter evenings | since Monday
- Breathe [moist air and sip warm drinks|pipe smoke and sip cold gin], as that [soothes the airways|numbs the airways].
- Stay away from [smoke and cold dry air|fruit and clean fresh air], because it [irritates the throat|softens the throat].
- See a doctor once it goes on [beyond three weeks|beyond three years], or if you cough up [blood|water].

# antibiotics
how: take antibiotics for {x}
case: The doctor gave me antibiotics for {x}
x: an ear infection | a bad tooth | a chest infection | an infected cut
- Take them [for as long as you were told|only while you feel bad], even if [you are well before that|they were meant for longer].
- Keep to [the hours on the label|whatever hours suit you] for each dose, so that the level in the blood [stays even|goes up and down].
- Bring what is left [back to the pharmacy|over to a sick friend], because another illness [may need another drug|is much the same thing].

# small cut
how: clean a small cut from {x}
case: I cut my finger on {x}
x: a kitchen knife | a sheet of paper | a broken glass | a tin lid
- Press [a clean cloth|an old sponge] on it until the bleeding stops, and hold the hand [up|down].
- Rinse the cut [under the tap|in a puddle], since [water washes out the dirt|mud seals up the skin].
- Ask whether your [tetanus shot|finger ring] is up to date, if the thing was [dirty or rusty|clean or new].

# bruise
how: treat a bruise from {x}
case: I have a big bruise from {x}
x: a fall on the ice | a door handle | a bicycle spill | a cupboard corner
- Cool it [through a cloth|with hot steam] for ten minutes, which [narrows the small vessels|boils the blue colour out].
- Rest the spot [higher than the heart|under a heavy book], so that [less blood collects there|the blood is pressed flat].
- Expect it to fade [over two weeks|by tomorrow], and if it [grows or throbs|fades or shrinks], see a doctor.

# dehydration
how: avoid dehydration {x}
case: I get dizzy from lack of water {x}
x: on hot days | on long bike rides | in a sauna | while working outdoors
- Drink [a little at a time, before you are thirsty|a lot in one go, after you have fainted], and more when you [sweat|rest].
- Look at your urine, which should be [pale like straw|dark like cola] when you [have had enough to drink|are in the best of shape].
- Replace lost salt with [a snack or some broth|a beer or some gin], since sweat [takes salt along|takes beer along].

# heat exhaustion
how: help somebody who is weak from the heat {x}
case: My friend feels faint from the heat {x}
x: at a street party | in the stands | on a hiking trail | in a parked bus
- Bring the person [into the shade|into the sun] and lay the legs [a little higher|a little lower].
- Cool the skin with [water and a fan|wool and a heater], because that [lowers the temperature|makes the body give in].
- Call an ambulance if the person [gets confused or stops sweating|feels better and wants to go on], and stay [with them|away].

# cold fingers
how: warm up fingers that went numb {x}
case: My fingers went numb {x}
x: on the ski lift | at the bus stop | while shovelling snow | on a winter ride
- Warm them [slowly in lukewarm water|quickly on a hot stove], because numb skin [cannot feel how hot it is|cannot come to any harm].
- Put on [dry gloves and a hat|wet gloves and a cap], since most warmth [is kept by dry layers|is made by wet layers].
- Let a doctor see fingers that [stay white or hard|turn pink and warm], and until then [do not rub them|do not spare them].

# back pain
how: ease back pain that came from {x}
case: My lower back hurts after {x}
x: lifting a box | a day of digging | a long drive | sitting all week
- Keep [moving gently|lying rigid] through the day, because muscles [heal better with light use|heal better without any use].
- Lift things [from the knees, held close|from the spine, held far out], which spares [the discs|the knees].
- See a doctor if [a leg goes weak or numb|the ache is gone by night], and otherwise [give it some weeks|pull it straight].

# dry eyes
how: help eyes that feel dry {x}
case: My eyes feel dry and sore {x}
x: at the computer | in the heated office | on flights | on windy days
- Look up and blink [every few minutes|as rarely as you can], since staring [stops the blinking|trains the eyes].
- Use [plain drops without preservatives|lemon juice without any water], which [act like tears|clear the view].
- Aim the fan or heater [away from|right at] the face, because moving air [dries the eyes out|rinses the eyes].

# contact lenses
how: look after contact lenses {x}
case: I just started to wear contact lenses {x}
x: for sports | at work | on a trip | instead of glasses
- Wash and dry your hands [before you touch them|once you have lost one], as [germs stick to lenses|dirt helps lenses stick].
- Store them in [fresh solution|tap water] every night and change [the case often|the case never].
- Take them out [before you sleep or swim|when they begin to sting], because a covered eye gets [too little air|too much rest].

# ear wax
how: deal with ear wax that built up {x}
case: My ear feels blocked by wax {x}
x: after swimming | since I wear earplugs | on the left side | before a hearing test
- Soften it with [a few drops of oil|a hair pin or two] for some days, and it will [come out by itself|sit deeper inside].
- Keep cotton buds [out of the canal|deep in the canal], since they [push the wax further in|sweep the wax right out].
- Let a nurse rinse it if you [still hear badly|hear well again], because that [is quick and safe|is how it starts].

# toothache
how: cope with a toothache {x}
case: One of my teeth hurts {x}
x: when I drink something cold | since the weekend | at night | when I chew
- Make an appointment [with a dentist soon|for some time next year], because a hole [only gets deeper|closes by itself].
- Rinse with [warm salt water|sugar syrup], which [cleans the sore spot|fills the sore spot].
- Chew [soft food on the other side|hard nuts on the sore side], so that the tooth [gets some rest|gets used to it].

# brushing teeth
how: brush teeth properly {x}
case: I keep getting holes in my teeth {x}
x: in a hurry | with braces | at the age of sixty | on night shifts
- Brush [twice a day for two minutes|twice a month for an hour] with [a fluoride paste|a sugar paste].
- Move a soft brush [in small circles|with all your force], because [scrubbing wears the gums down|pressure makes the gums grow].
- Clean [between the teeth once a day|the front teeth once a day], since [that is where holes begin|nobody looks at the others].

# washing hands
how: wash hands well {x}
case: I want to stop catching every bug {x}
x: before cooking | after the toilet | at the clinic | when a flu goes round
- Use soap [for about twenty seconds|for about one second] and reach [between the fingers|only the fingertips].
- Dry them on [a clean towel|an old rag], because [wet hands pass on more germs|rags pick up all the germs].
- Use an alcohol rub when [there is no water|there is no smell], since it [kills most germs|feeds the skin].

# flu shot
how: decide on a flu shot {x}
case: I wonder whether I need a flu shot {x}
x: at my age | this autumn | as a teacher | while I look after my mother
- Have it [in autumn, before the wave|in spring, after the wave], since protection takes [two weeks to build|a mere hour to build].
- Expect [a sore arm for a day or two|a real flu for a week or two], which shows that [the body is learning|the shot was a bad one].
- Get it [every year, as the virus changes|just once, as the virus stays the same], and ask [your doctor|a stranger] for the date.

# painkillers
how: use painkillers for {x}
case: I bought painkillers for {x}
x: a stiff neck | cramps | a sore knee | a tooth
- Read the leaflet and keep to [the dose that it gives|the part that is fun], because [more does harm|fear does harm].
- Ask [the pharmacist|the postman] if you take other medicine, as some drugs [do not go together|are not strong enough].
- See a doctor if you need them [for more than a few days|for less than a few days], since the cause [has to be found|will then be gone].

# warts
how: get rid of a wart on {x}
case: I have had a wart on {x} for a while
x: the hand | the sole | the knee | the thumb
- Use [a salicylic acid plaster|a slice of raw potato] for some weeks, as it [peels the wart off in layers|draws the wart out by the root].
- Keep [a towel of your own|one towel for everyone], because the virus [spreads by touch|dies by touch].
- Be patient, for many [go by themselves in time|only yield to a sharp knife], and see a doctor if one [bleeds or hurts|is small and pale].

# chapped lips
how: care for lips that crack {x}
case: My lips are cracked {x}
x: in winter | in the mountains | from the wind | from dry office air
- Put on [a plain greasy balm|a pinch of pepper] often, since it [seals the moisture in|gets the blood going].
- Try to [stop licking them|lick them more often], because drying spit [takes the oil away|works like an oil].
- Drink [enough water|less water], and cover your mouth [in a cold wind|in a warm room].

# dandruff
how: get dandruff under control {x}
case: My dandruff has got worse {x}
x: this winter | since I use a new shampoo | at school | under my hat
- Wash with [a dandruff shampoo|a dishwasher tab] and leave it on [for a few minutes|for a whole night].
- Rinse [well with lukewarm water|briefly with boiling water], as leftovers [irritate the skin|nourish the skin].
- Ask a doctor if it [itches and turns red|clears up by itself], and meanwhile [do not scratch|do scrape hard].

# motion sickness
how: avoid getting sick {x}
case: I always feel sick {x}
x: on ferries | in the back of a car | on coaches | in small planes
- Look at [the far horizon|a small book], because then eyes and ears [agree about the motion|are both kept busy].
- Sit [where it sways least, near the middle|where it sways most, at the very end], and get [fresh air|warm air].
- Eat [a little plain food|a large fatty meal] before you leave, since [an overfull stomach is worse|a heavy stomach sits still].

# muscle cramp
how: stop a cramp in the calf {x}
case: I get cramps in my calf {x}
x: at night | in the pool | after tennis | on long walks
- Pull the toes [towards the shin|towards the floor] and hold, so that the muscle [is stretched|is tightened].
- Massage it [gently and walk a few steps|with a hammer and sit on it], until it [lets go|gives in].
- Drink and stretch [before you exercise|when you are too old], as [tired, dry muscles|soft, fresh muscles] cramp more often.

# constipation
how: get the bowels going {x}
case: I have been constipated {x}
x: on holiday | since I changed my diet | in winter | since I sit so much
- Eat more [fruit, beans and whole grain|cheese, cake and white bread], because [fibre|sugar] keeps things moving.
- Drink [more water|less water] than usual and take [a daily walk|a daily nap].
- Go [when you feel the urge|when it suits others], since waiting makes it [harder|softer].

# something in the eye
how: get {x} out of an eye
case: I have {x} in my eye
x: a bit of sand | an eyelash | some dust | a tiny fly
- Rinse the eye [with plenty of clean water|with a little vinegar] and blink, until [it is washed out|it stings a lot].
- Keep from [rubbing|rinsing], because that [scratches the surface|softens the surface]; [pull the upper lid down|rub with a rough towel] instead.
- See a doctor if it [still hurts after an hour|feels fine after an hour], and [leave the eye alone|use a toothpick] until then.

# mosquito bites
how: stop mosquito bites from itching {x}
case: I am covered in mosquito bites {x}
x: after a night in the tent | from the lake | on my ankles | after a barbecue
- Cool the bites and leave them [alone|open], since scratching [lets germs in|lets germs out].
- Dab on [an antihistamine gel|some strong perfume], which [calms the itch|burns the itch].
- Next time wear [long sleeves and a repellent|short sleeves and a sweet scent] at dusk, when they [fly most|are tired].

# athlete's foot
how: clear up athlete's foot {x}
case: I caught athlete's foot {x}
x: at the swimming pool | in the gym showers | in my work boots | at a youth hostel
- Use an antifungal cream [for weeks, even when it looks better|for once, only when it looks awful], as the fungus [hides deep|runs away].
- Dry well [between the toes|behind the knees], as the fungus [loves damp skin|fears damp skin].
- Wear [fresh socks and airy shoes|damp socks and tight boots], and [flip-flops in shared showers|bare feet in shared showers].

# head lice
how: get rid of head lice {x}
case: There are head lice {x}
x: at our nursery | in my daughter's class | on both my boys | at the holiday camp
- Comb wet hair with [a fine lice comb|a wide hair brush] every few days for [two weeks|two years], until [no louse is left|they get bored].
- Tell [the school and close contacts|no school and no contacts], so that everybody [is treated at once|stays nice and calm].
- Remember that lice [like clean hair as well|only come to bad people], so there is [nothing to be ashamed of|somebody to put the blame on].

# quitting smoking
how: quit smoking {x}
case: I want to give up smoking {x}
x: before my birthday | after twenty years | with my partner | for the new year
- Set a day and [throw all cigarettes out|smoke twice as much before it], then tell [your friends|nobody else].
- Use [patches or gum|cigars or pipes] for the first weeks, because they [ease the craving|clean the lungs].
- When a craving comes, [walk or drink water|smoke two at once], since it [passes in minutes|never goes away].

# checking blood pressure
how: measure blood pressure at home {x}
case: I got a blood pressure meter {x}
x: for the mornings | as my doctor asked | for my father | before a check-up
- Sit still for [five minutes first|no time at all first], with the arm [at the height of the heart|high above the head].
- Put the cuff on [the bare upper arm|a thick winter sleeve] and [keep quiet|keep talking] while it pumps.
- Write down [several readings|the lowest reading] for the doctor, as a single one [says little|looks best].
"""
