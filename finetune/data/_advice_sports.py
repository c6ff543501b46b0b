"""Sport and exercise: situations, and what is right and wrong advice on them (`_advice_medical` describes the form)."""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# first run
how: start running {x}
case: I want to take up running {x}
x: at fifty | after years on the sofa | with a friend | in the park
- Mix [walking and slow running|sprints and steep hills] for the first weeks, so that [joints get used to it|joints learn who is boss].
- Run at a pace at which you can [still talk|hardly see], because [easy miles build endurance|easy miles are wasted].
- Take [a day off between runs|no days off at all], since the body [gets stronger while it rests|gets lazy while it rests].

# marathon
how: train for a marathon {x}
case: I signed up for a marathon {x}
x: next autumn | in Berlin | with my club | for charity
- Add [about a tenth a week|a full marathon a week], because [tendons adapt slowly|pain adapts quickly].
- Try out [shoes and food in training|new shoes and food on race day], since [surprises cost the race|surprises keep you awake].
- Rest [more in the last two weeks|only after the finish], so that you [start fresh|start tired].

# swimming in a lake
how: swim safely in {x}
case: I would like to swim in {x}
x: a mountain lake | a quarry pond | the sea | a wide river
- Go in [with somebody and stay near the shore|alone and head for the middle], as [help is close then|nobody talks you out of it].
- Enter [slowly, feet first|with a run, head first], because [you cannot see the depth|you should not see the depth].
- Get out when you [start to shiver|stop feeling anything], for cold [takes your strength unnoticed|gives you strength unnoticed].

# bike helmet
how: choose a helmet {x}
case: I need a helmet {x}
x: for cycling to work | for mountain biking | for skating | for my daughter
- Pick one that sits [level and snug, above the brows|loose and far back, behind the ears].
- Close [the strap, with a finger's room|no strap, for a fresh neck], since a loose one [flies off in a fall|feels better in a fall].
- Replace it [after a hard knock|when it goes out of fashion], because the foam [protects only once|gets better with use].

# weight lifting
how: start lifting weights {x}
case: I want to lift weights {x}
x: at home | in a gym | at sixteen | after an injury
- Learn [the movement with a light bar|the limit with the heaviest bar], and add weight [in small steps|in giant leaps].
- Keep the back [straight and the weight close|round and the weight far], which [spares the spine|trains the spine].
- Have [a partner at hand for heavy sets|nobody around for heavy sets], so that [a failed lift stays harmless|a failed lift stays secret].

# warming up
how: warm up {x}
case: I always feel stiff {x}
x: before football | before a sprint | before tennis | before a dance class
- Move [lightly for ten minutes|not at all for an hour] and let the pulse [rise slowly|stay at rest].
- Go through [the motions of the sport, gently|the hardest move first, at full force], so that [muscles are ready|muscles are shocked].
- Do it [every time|once a season], because cold muscles [tear more easily|are much tougher].

# ski tour
how: prepare for {x}
case: I plan to go on {x}
x: a first ski tour | a snowshoe hike | a day off the slopes | a winter ridge walk
- Read [the avalanche bulletin|the slope's reviews] in the morning and turn back if [the danger is high|the crowd is small].
- Carry [a beacon, shovel and probe|a flask, camera and phone], and [practise with them|leave them off].
- Cross a steep slope [one at a time|all at once], because [it spreads the load|it is more fun].

# climbing
how: climb safely {x}
case: I am going to climb {x}
x: in a hall | on a rock face | on a via ferrata | with a new partner
- Check [each other's knots and buckles|the view and the weather app] before every climb, even if [you are in a hurry|you have all day].
- Keep the brake hand [always on the rope|free for the phone], as [a fall comes without warning|falls announce themselves].
- Wear [a helmet outdoors|a cap outdoors], because [stones fall without a sound|stones respect climbers].

# kayaking
how: go kayaking {x}
case: I want to go kayaking {x}
x: on a river | along the coast | on a reservoir | in spring
- Wear [a life jacket, done up|a heavy coat, done up], even if you [swim well|swim badly].
- Ask about [currents and weirs|boats and snacks], and stay away from [walls with flowing water|banks with still water].
- Dress for [the water's temperature|the evening's party], since a capsize [comes at any time|never comes twice].

# diving
how: begin with {x}
case: I am keen to try {x}
x: scuba diving | snorkelling | free diving | wreck diving
- Take [a course with a certified school|a borrowed tank and no course], and go down [with a partner|on your own].
- Breathe [steadily and come up slowly|rarely and come up at top speed], because [gas in the blood needs time|a fast finish looks strong].
- Stop if [ears hurt or you feel unsure|all feels well and calm], and [signal to your partner|dive a little deeper].

# hiking
how: prepare for a hike {x}
case: I am going on a hike {x}
x: in the Alps | along the cliffs | with children | over two days
- Tell [somebody your route and return|nobody your route or return], so that [help knows where to look|the trip stays your own].
- Pack [water, a warm layer and a map|a speaker, a drone and a mirror], even on [a short, sunny day|a long, wet day].
- Turn back if [weather or strength fades|anyone else turns back], because the summit [will still be there|will soon be gone].

# altitude
how: cope with altitude {x}
case: I get dizzy at altitude {x}
x: on a high pass | in the Andes | on a hut tour | at a ski resort
- Climb [a few hundred metres a day|as far as you can in a day], with [rest days in between|races in between].
- Go down if [headache and sickness get worse|headache and sickness go away], as [that is the only cure|weakness is the only cause].
- Drink [water, and leave out alcohol|schnapps, and leave out water], which [helps you adapt|thins the thick air].

# stretching
how: get more flexible {x}
case: I cannot touch my toes {x}
x: after years at a desk | for yoga | for gymnastics | since I run a lot
- Stretch [warm muscles, slowly|cold muscles, by jerks], to the point where you feel [a pull, not pain|pain, not a pull].
- Hold for [half a minute and breathe|half a day and freeze], then [let go gently|let go by force].
- Keep at it [a little every day|a lot once a year], because [tissue changes slowly|tissue changes overnight].

# protein
how: eat for sport {x}
case: I do not know what to eat {x}
x: before a race | after training | while I build muscle | on a long ride
- Have [carbohydrates some hours before|a heavy roast minutes before], and [a small snack|a large feast] closer to it.
- Spread protein [over the meals of a day|on one plate in a week], as the body [uses a little at a time|keeps it for the week].
- Drink [water through the day|nothing through the day], and trust [food more than powders|powders more than food].

# energy gel
how: avoid stomach trouble {x}
case: I get stomach cramps {x}
x: during long runs | in triathlons | on my bike | in hot races
- Take [small sips and bites early|one huge meal late], because [a stressed gut absorbs little|a stressed gut loves work].
- Practise [the same food in training|a new food in the race], so that [the stomach knows it|the stomach is thrilled].
- Mix gels with [water|milk and beer], and slow down [when it starts|when it is over].

# injury return
how: come back after {x}
case: I want to play again after {x}
x: a torn muscle | a knee operation | a stress fracture | a concussion
- Wait [until a doctor clears you|until the pain is bearable], as an early return [often doubles the break|often heals the break].
- Begin with [easy sessions and build up|a final and go all out], and watch [for pain the next day|for nothing the next day].
- Train [what surrounds the weak spot|nothing but the weak spot], so that it [carries less load|carries more load].

# concussion
how: act after a blow to the head {x}
case: I took a blow to the head {x}
x: at rugby practice | from a horse | on the ice | in a handball match
- Leave the field [at once and sit out|at the end and play on], even if you [feel all right|see two balls].
- See a doctor [the same day|the next season], above all with [sickness or confusion|hunger or boredom].
- Rest [from sport and screens for days|from sleep and quiet for days], because [a second blow is far worse|a second blow resets it].

# football shoes
how: choose shoes {x}
case: I need new shoes {x}
x: for football | for trail running | for the gym | for basketball
- Try them on [in the afternoon, with sports socks|in the shop window, with no socks], as feet [swell over the day|shrink over the day].
- Leave [a thumb's width at the toes|no room at all at the toes], so that [the nails stay whole|the nails stay pressed].
- Match the sole to [the ground you play on|the colour of the shirt], because [grip prevents twists|style prevents twists].

# horse riding
how: start riding {x}
case: I would love to learn riding {x}
x: as an adult | on holiday | with my son | on a calm pony
- Wear [a riding helmet and boots with a heel|a wide hat and sandals with a bow].
- Walk up to a horse [from the side, speaking softly|from behind, shouting loudly], because [it startles easily|it loves surprises].
- Learn [to stop and turn first|to gallop and jump first], with [a teacher beside you|a young horse under you].

# boxing
how: begin boxing {x}
case: I want to try boxing {x}
x: to get fit | at my age | with no experience | at the local club
- Wrap [the hands and wear good gloves|the feet and wear no gloves], since [small bones break fast|small bones need knocks].
- Practise [on the bag for weeks|on the champion today], and spar [lightly, with headgear|fully, without headgear].
- Keep [the guard up and the chin down|the guard down and the chin up], which [protects the jaw|confuses the jaw].

# ice on the lake
how: tell whether ice is safe {x}
case: I want to go skating {x}
x: on the village pond | on a frozen canal | on a lake | before the weekend
- Wait for [the town to open it|the first crack to show], because [only measured ice is safe|only bold people get space].
- Stay off ice [near inlets, bridges and reeds|far from inlets, bridges and reeds], where it is [thin|thick].
- Take [a friend, a rope and ice picks|a sledge, a drink and no rope], and [turn back if it creaks|go on if it creaks].

# road cycling
how: cycle safely {x}
case: I feel unsafe on my bike {x}
x: in city traffic | after dark | on country roads | in the rain
- Use [lights and bright clothes|no lights and dark clothes], so that [drivers see you early|drivers stay alert].
- Keep [a metre from parked cars|a hand on parked cars], because [doors open suddenly|doors open slowly].
- Look back and [signal before you turn|close your eyes as you turn], and never [ride in a lorry's blind spot|ride in an open cycle lane].

# yoga
how: start with yoga {x}
case: I want to try yoga {x}
x: for my back | at home | while pregnant | as a stiff beginner
- Begin with [a class for beginners|a headstand for hours], and tell [the teacher about injuries|no teacher about injuries].
- Go only as far as you [can breathe calmly|can bear the pain], for [a pose is not a contest|a pose is won by pain].
- Use [blocks and a folded blanket|weights and a tight rope], which [bring the floor nearer|bring the limit nearer].

# heat training
how: train in the heat {x}
case: I have to train in the heat {x}
x: in August | for a desert race | at noon | on artificial turf
- Move the session to [early morning|high noon], and keep it [shorter than usual|longer than usual].
- Drink [before and during it|only when it is over], with [a little salt|a lot of wine] if you sweat a lot.
- Stop at [dizziness or chills|a light tan or a smile], and cool down [in the shade|in a sauna].

# sleep and sport
how: recover {x}
case: I feel worn out {x}
x: after hard weeks | between matches | since I doubled my training | before the season
- Sleep [eight hours or more|four hours or less], because [repair happens at night|ambition grows at night].
- Put in [an easy week now and then|a second job now and then], so that the body [can catch up|cannot slack].
- Watch [the morning pulse|the evening pulse], which [rises when you overdo it|falls when you overdo it].

# trampoline
how: use a trampoline {x}
case: We got a trampoline {x}
x: in the garden | for the twins | for a party | for fitness
- Let [one child jump at a time|ten children jump at a time], since [most injuries come from collisions|most fun comes from collisions].
- Fix [the net and pad the springs|the net to a tree and oil the springs], and check them [each spring|never].
- Forbid [somersaults without training|soft jumps without training], as [the neck is at risk|the neck is too stiff].

# golf
how: begin with golf {x}
case: I have started golf {x}
x: with my boss | in retirement | on a public course | with borrowed clubs
- Take [some lessons before buying clubs|some clubs before any lessons], because [habits are hard to undo|money is the best teacher].
- Shout [a warning if a ball flies at people|a joke if a ball flies at people], and wait until [the way is clear|the way is full].
- Leave [the course in a thunderstorm|the clubhouse in a thunderstorm], for [a raised club draws lightning|a raised club calms lightning].

# surfing
how: learn to surf {x}
case: I am learning to surf {x}
x: on the Atlantic | on a foam board | with a school | on small waves
- Start on [a sandy beach with small waves|a rocky reef with huge waves], and ask about [the currents|the rentals].
- If a current pulls you out, swim [along the shore|straight against it] and [keep calm|use up your strength].
- Cover [the head when you fall|the board when you fall], since [the board comes back at you|the board is what costs money].

# judo
how: avoid injuries {x}
case: I keep getting hurt {x}
x: in judo | in volleyball | in the school team | at floorball
- Learn [to fall and to land well|to laugh and to look well], because [that is what saves joints|that is what wins points].
- Warm up [fully and cool down after|barely and rush home after], and tape [weak joints|strong joints].
- Sit out [when something hurts|when something goes well], since [small injuries grow|small injuries vanish in play].

# sports for children
how: choose a sport for {x}
case: I am looking for a sport for {x}
x: a shy six-year-old | my lively son | a teenager | twins with asthma
- Let the child [try several and pick|suffer one and obey], because [joy keeps children going|fear keeps children going].
- Look for a coach who [praises effort|mocks the slow], and a group of [the same level|far better ones].
- Keep [free time in the week|no free time in the week], as [young bodies need rest|young bodies need none].

# heart rate
how: use a heart rate monitor {x}
case: I got a heart rate watch {x}
x: for jogging | for rowing | from my wife | on my doctor's advice
- Do most training [at a low, steady rate|at the very highest rate], which [builds the base|saves time for more].
- Have [a check-up before hard sessions|a contest before any check-up], above all [past forty|in your prime].
- Stop and ask a doctor if it [races or skips at rest|slows and calms at rest], and [don't train on|don't hold back].

# skateboarding
how: learn skateboarding {x}
case: I bought a skateboard {x}
x: at thirty | for the bowl | for my way to work | with my niece
- Wear [wrist guards, pads and a helmet|flip-flops, rings and headphones], as [beginners fall on their hands|beginners fall on soft air].
- Practise [balance on flat ground|drops from a roof], then [small slopes|busy roads].
- Learn to [roll out of a fall|lock the arms in a fall], so that [the force is spread|the wrist takes it all].

# tennis elbow
how: get rid of {x}
case: I suffer from {x}
x: tennis elbow | runner's knee | shin splints | a sore shoulder
- Cut down [what brings the pain on|what makes the pain stop], and cool it [after sport|never].
- Strengthen [the muscles around it, slowly|the pain around it, at once], with [light weights|huge weights].
- Check [technique and equipment|luck and the calendar], because [the cause comes back otherwise|pain only comes by chance].

# mountain biking
how: ride downhill {x}
case: I am nervous about riding downhill {x}
x: on forest trails | in a bike park | with a new bike | behind faster friends
- Stand [on level pedals with bent knees|on one pedal with locked knees], and keep your weight [back and low|high and forward].
- Brake [before the bend, with both brakes|in the bend, with the front brake], since [locked wheels slide|locked wheels steer].
- Look [where you want to go|at what you fear to hit], as [the bike follows your eyes|the bike avoids your eyes].

# rowing machine
how: use {x} properly
case: I have trouble with {x}
x: a rowing machine | a treadmill | a cross trainer | a spinning bike
- Begin [slowly and set it to your height|at top speed and set it to chance].
- Keep [the shoulders low and the back long|the shoulders high and the back bent], which [avoids strain|adds strain for good].
- Get off [when it has stopped|while it runs fastest], because [most accidents happen then|most applause happens then].

# team selection
how: deal with not being picked {x}
case: I was not picked {x}
x: for the first team | for the relay | for the final | by my coach
- Ask the coach [what to work on|who he prefers], and listen [without arguing|without believing].
- Train [on that point for some weeks|on nothing for some weeks], then [ask again|take revenge].
- Cheer [for the others|for their defeat], since [a good teammate is seen|a rival is no teammate].

# doping
how: answer an offer of {x}
case: Somebody at the gym offered me {x}
x: pills for muscle | an injection | a powder without a label | a fat burner
- Say [no|yes], because [nobody knows what is in it|nobody has ever been hurt], and it can [harm heart and liver|only do you good].
- Get stronger with [training, food and sleep|shortcuts, luck and secrets], which [lasts|shows who is serious].
- Tell [a coach or a doctor|no coach or doctor] if you took some, so that [you can be checked|you can take more].

# cold water
how: try bathing in cold water {x}
case: I want to try bathing in cold water {x}
x: in January | in the bay | after the sauna | with a club
- Go in [slowly and for a minute or two|suddenly and for an hour or two], and breathe [out calmly|in and hold].
- Have [somebody with you on the bank|nobody with you on the bank], and [dry clothes ready|wet clothes ready].
- Ask a doctor first with [heart trouble|good health], as [the cold is a shock to the heart|the cold mends a weak heart].

# sledging
how: go sledging safely {x}
case: We are going sledging {x}
x: with toddlers | on the town hill | at night | on a steep track
- Choose a slope [with a long flat end|with a road at its end], free of [trees and walls|space and snow].
- Sit [upright with the feet in front|head first with the eyes shut], and wear [a helmet|a blindfold].
- Walk up [at the side|in the middle], so that [nobody is run over|others have to swerve].

# pulled muscle
how: treat a pulled muscle {x}
case: I pulled a muscle {x}
x: in the thigh | during a sprint | at indoor football | in the calf
- Stop, [cool it and put the leg up|heat it and kick harder], for [the first hours matter most|the first goal matters most].
- Wrap it [firmly but not too tight|so tight that it goes numb], which [limits the swelling|limits the blood].
- Start again [with gentle motion after days|with a full match after minutes], as [scars tear when rushed|scars grow when rushed].
"""
