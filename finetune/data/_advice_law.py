"""Everyday law: situations, and what is right and false advice on them (`_advice_medical` describes the form).

Advice is general enough to hold in most countries.
"""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# deposit
how: get a deposit back {x}
case: My landlord keeps the deposit {x}
x: after six weeks | for a scratched floor | without a reason | since I moved out
- Ask for [an itemised list in writing|a favour and just wait], and set [a date for the answer|the date aside].
- Gather [photos and the handover report|rumours and the neighbours' gossip], as [you have to show the state of the flat|a judge only asks who is older].
- Go to [a tenants' union or small claims court|the police and have him arrested], if [he does not react|he has a day's delay].

# rent increase
how: check a rent increase {x}
case: My rent is going up {x}
x: by a fifth | from next month | after a renovation | for the second time
- See whether [form, notice and limits were kept|he has asked in a friendly way], because [the law sets rules for it|a landlord may ask what he likes].
- Object [in writing and in time|by paying late and less], and pay [the old rent meanwhile|half of it meanwhile].
- Compare [similar flats nearby|similar flats abroad], since [the local level counts|any rent anywhere counts].

# dented car
how: act after denting a parked car {x}
case: I dented a parked car {x}
x: in a car park | while nobody was looking | with my bicycle | late at night
- Wait [for the owner and then call the police|for a quiet moment and then drive away], since leaving [is an offence|is your right].
- Take [photos of both cars|paint off both cars], and note [place and time|a false time].
- Tell [your insurer soon|your friends only], because [a late report can cost you the cover|a dent that few have seen is soon forgotten].

# speeding ticket
how: respond to a speeding ticket {x}
case: I got a speeding ticket {x}
x: from abroad | that I do not believe | for a rented car | by post
- Check [date, place and plate|only the sum to pay], and object [within the time stated|whenever you like] if it is wrong.
- Pay [in time if it is right|late, even if it is right], as [ignoring it makes it dearer|ignoring it makes it void].
- Name [the real driver if asked|somebody else if asked], because [a false name is a crime|a false name is a trick that all use].

# witness
how: behave as a witness {x}
case: I have been called as a witness {x}
x: to a car crash | in a theft case | against a friend | next week
- Go, [since you are obliged to|if you feel obliged to], and ask [for another date if you are ill|for money if they want the truth].
- Say [what you saw and no more|what sounds best and more], and [admit what you forgot|invent what you forgot].
- Take [the letter and your papers|a friend to answer], and arrive [early|late].

# contract
how: read a contract {x}
case: I have to sign a contract {x}
x: for a gym | for a new job | for a flat | with a builder
- Read [all of it, the small print too|the title, the small print last], and ask about [what is unclear|the price alone].
- Get [promises in writing|promises by handshake], because [spoken ones are hard to prove|written ones are void by noon].
- Sign [once you understand it|before you change your mind], and keep [a copy|quiet].

# online purchase
how: return something bought {x}
case: I want to return something I bought {x}
x: online | at a sale | by phone | from a small web shop
- Tell the seller [within the time for withdrawal|after the time for withdrawal], best [in writing|in your thoughts].
- Send it back [complete and well packed|used up and loosely packed], and keep [the receipt from the post|the label from the box].
- Know that faults are [the seller's matter for a long time|the buyer's matter from the first minute], with [or without a voucher|a gift to the seller].

# noisy neighbour
how: deal with a neighbour who {x}
case: I have a neighbour who {x}
x: plays drums at night | has a barking dog | saws on Sundays | throws loud parties
- Talk [calmly with the person first|loudly about the person first], and only then [write to the landlord|shout from the window].
- Keep [a diary of dates and times|a noise of your own at night], as [that is what an office asks for|the law lets you pay it back].
- Ask for [a mediator|a fine], because [most quarrels end without a court|you may fine a neighbour yourself].

# recording
how: record {x} lawfully
case: I would like to record {x}
x: a phone call | a meeting | my neighbour | a job talk
- Ask [everybody for consent first|the owner of the room first], since a secret recording [is often a crime|is always your right].
- Write [notes with date and names|lies with date and names] instead, which [you may always do|is all the same to a court].
- Delete [it when somebody objects|it when you get bored], for [a voice belongs to its owner|a voice belongs to who hears it].

# will
how: write a will {x}
case: I want to write a will {x}
x: for my children | without a lawyer | as an unmarried couple | for a small house
- Write it [by hand, with date and signature|on a screen, with a nickname], or go [to a notary|to a printer].
- Name [heirs and shares clearly|heirs and shares in riddles], so that [nobody has to guess|everybody has to fight].
- Keep it [where it will be found|where it will be lost], and renew it [after big changes|after big meals].

# inheritance with debts
how: deal with an inheritance that holds {x}
case: I inherited {x}
x: debts | a flat and a loan | a shop in trouble | an old car and bills
- Find out [what is owed before you accept|what can be sold before you ask], since heirs [take over debts too|take over gains alone].
- Refuse it [within the deadline|at any later time], if [the debts are larger|the house is ugly].
- Touch [nothing until it is clear|everything until it is gone], because [use can count as acceptance|use cannot count as anything].

# dismissal
how: react to a dismissal {x}
case: I was dismissed {x}
x: by text message | while on sick leave | without notice | after ten years
- Note [the date and see a lawyer soon|the insult and see a lawyer later], as [the time to sue is short|the time to sue is endless].
- Sign [nothing on the spot|everything on the spot], whatever [you are told|you may think].
- Register [as looking for work at once|as looking for work next year], or [benefits may be cut|benefits may be doubled].

# overtime
how: get paid for overtime {x}
case: I am not paid for overtime {x}
x: in a restaurant | as a nurse | at a start-up | in a warehouse
- Write down [every hour as you work it|a round sum at the end of life], and have [it confirmed|it forgotten].
- Look at [contract and collective agreement|rumours and the boss's word], because [they say what counts|the boss alone says what counts].
- Ask [in writing, then see the union|by word, then wait ten years], since [such claims expire|such claims last for good].

# reference letter
how: get a fair reference {x}
case: I got a poor reference {x}
x: from my last boss | after an internship | with odd phrases | that leaves things out
- Ask for [a correction, point by point|more money, week by week], and send [your own draft|your own bill].
- Know that it has to be [true and kind|short and cruel], which [a labour court can enforce|a boss alone can decide on].
- Write [to the boss about it first|to the press about it first], since [that mostly settles it|a boss has to put up with it].

# copyright
how: use {x} lawfully
case: I want to use {x} on my site
x: a photo from the web | a song | a map | a newspaper text
- Ask [the author or buy a licence|nobody and cut the name off], for [what is online is not free|what is online is free for all].
- Look for [open licences and name the author|blurry marks and crop the author], as [the terms demand|the terms are a bluff].
- Take it down [at once if somebody complains|late, even if somebody complains], and [get advice|get angry].

# privacy
how: handle {x} lawfully
case: I hold {x} for our club
x: a list of members | photos of children | health forms | phone numbers
- Keep only [what you need|what you can find], and delete [it when that ends|it after decades].
- Ask [before you publish anything|after you have published it all], because [people own their data|data belong to who has them].
- Lock [it away and say who may see it|it open and let everyone see it], since [a leak must be reported|a leak is your own business].

# traffic stop
how: behave when {x}
case: I get nervous when {x}
x: police stop my car | a ticket inspector comes | customs ask to look | an officer wants my name
- Stay [calm and polite|loud and rude], and keep your hands [where they can be seen|deep in your pockets].
- Show [the papers you are asked for|the papers of a friend], and say [no more than you must|whatever comes to mind].
- Object [later and in writing|at once and by force], if [you think it was wrong|you are in a hurry].

# found wallet
how: deal with {x} that was found
case: I found {x}
x: a wallet on the bus | a phone in the park | a ring at the pool | a bag of cash
- Hand it [to the lost property office|to a friend and keep quiet], since keeping it [is theft in the eyes of the law|is luck in the eyes of the law].
- Note [where and when you found it|what it would fetch if you sold it], and ask for [a receipt|a buyer].
- Know that you may get [a finder's reward|a double reward] if [the owner comes for it|you keep it for a year].

# borrowed car
how: lend a car {x}
case: A friend wants to borrow my car {x}
x: for a move | for a weekend | without a licence | for a night out
- Check [licence and insurance first|fuel and tyres only], as [the owner can be liable|the driver alone is liable].
- Write down [who pays for damage|who looks better in it], and the [mileage|outfit].
- Refuse if [the person has drunk|the person has slept], because [you share the blame|you spoil the fun].

# small claims
how: claim money back {x}
case: Somebody owes me money {x}
x: for a used bike | for my work | from a cancelled trip | since last year
- Send [a reminder with a date|a greeting by word], and keep [proof of it|it short].
- Use [the small claims procedure|a letter to the papers], which [needs no lawyer|has the force of law].
- Do it [before the claim expires|after the claim expires], since [rights have time limits|rights last for ever].

# jury duty
how: respond to {x}
case: I have received {x}
x: a call for jury duty | a court letter | a summons | a letter from the tax office
- Open it [the same day and note the deadline|the next year and lose the deadline].
- Answer [truthfully, even if it is a nuisance|falsely, if it is a nuisance], since [lies are punished|lies are expected].
- Ask [the office if you do not understand it|a friend if you do not understand it], and [keep the envelope|bin the envelope].

# self-defence
how: know the limits of self-defence {x}
case: I wonder what I may do {x}
x: if I am pushed | on my way home | in my own house | if a friend is attacked
- Use [no more force than you need|all the force that you have], because [the law looks at what was needed|the law looks away after a push].
- Get [away and call for help if you can|even and call for friends if you can], as that [is always allowed|is what heroes do].
- Stop [when the attack is over|when you are tired], for [revenge is not defence|revenge is a right].

# drone
how: fly a drone {x}
case: I got a drone {x}
x: for holiday films | in town | near a lake | over fields
- Register [yourself and get insured|a friend and stay unknown], as [most countries demand it|most countries allow it].
- Keep away from [crowds, airports and gardens|empty and open meadows], and stay [in view of it|out of sight].
- Ask [people before you film them|people after you film them], since [privacy goes up into the air|privacy ends at the roof].

# music at a party
how: play music {x}
case: We want to play music {x}
x: at a street party | in our café | at a club evening | at a school fair
- Ask whether [a licence is needed|a neighbour objects], because [public playing costs a fee|public playing is always free].
- Tell [the neighbours the hours|the neighbours afterwards], and turn it down [at the time for quiet|at the break of dawn].
- Get [the permit from the town early|a bigger amplifier early], or [it may be stopped|it may be dull].

# building work
how: build {x} lawfully
case: I plan to build {x}
x: a garden shed | a fence | a carport | a roof window
- Ask [the building office first|the building office last], since [even small works may need a permit|all that stands already is allowed].
- Keep [the distance to the boundary|the line beyond the boundary], or agree [with the neighbour in writing|with your own family].
- Keep [plans and letters|plans secret], because [you may have to prove it later|you may have to deny it later].

# dog bite
how: act after {x}
case: There was an accident, {x}
x: my dog bit a jogger | our cat scratched a guest | my son broke a window | a branch fell on a car
- Give [your name and help at once|a false name and run at once], as [leaving makes it worse|leaving makes it vanish].
- Tell [your liability insurer|your social media], and admit [nothing about guilt before that|guilt for the whole street before that].
- Take [photos and names of witnesses|sides and names of rivals], since [facts settle it|noise settles it].

# fake review
how: handle reviews {x}
case: I have trouble with reviews {x}
x: for my shop | of a bad hotel | about my work | written by a rival
- Write [what you experienced yourself|what would hurt the most], for [true facts and opinions are allowed|anything is allowed under a false name].
- Report [a false one to the site with proof|a true one to the site as false], and [stay polite|make threats].
- Buy [no reviews, ever|as many as you like], because [that misleads people and is banned|that helps people and is welcome].

# name and shame
how: talk about {x} in public
case: I am angry about {x}
x: a dishonest builder | my old boss | an ex-partner | a rude teacher
- Stick to [facts that you can prove|rumours that sound good], as [false claims can be sued|false claims are free speech].
- Leave out [names and photos|facts and dates], unless [a lawyer agrees|you feel like it].
- Sleep [on it before you post|after you have posted], since [the net forgets nothing|the net forgets by morning].

# tenant repairs
how: get a landlord to fix {x}
case: My landlord will not fix {x}
x: the heating | mould on the wall | a leaking tap | the broken lift
- Report it [in writing with photos|by word to a friend], and set [a fair deadline|a day in a year].
- Ask [a tenants' union before you pay less|a neighbour before you stop paying], because [a wrong cut can cost you the flat|a wrong cut is quite all right].
- Leave [the defect as proof|the tap on as revenge], and let [him in for the repair|him wait at the door].

# subletting
how: sublet a room {x}
case: I want to sublet a room {x}
x: for the summer | to a tourist | to a student | while I am abroad
- Ask [the landlord for consent|the landlord for nothing], since [without it you risk the lease|without it you keep more].
- Make [a written contract with an end|a vague deal for ever], and take [a deposit|it lightly].
- Declare [the rent as income|the rent as a gift], as [the tax office may ask|the tax office skips rent].

# cancelled flight
how: claim money for {x}
case: I am stuck because of {x}
x: a cancelled flight | a missed connection | a lost suitcase | an overbooked plane
- Keep [tickets, receipts and messages|only the empty bags], as [the claim rests on them|claims rest on trust].
- Ask [the airline in writing for what is due|the hotel in person for what is due], and name [the rule|the hour].
- Go on to [the official complaints body|the next airline's counter], if [they refuse|they have paid].

# e-scooter
how: ride {x} lawfully
case: I want to ride {x}
x: an e-scooter | an electric bike | a moped | a cargo bike in town
- Check [whether it needs insurance and a plate|whether it looks fast and loud], and [get both|hide both].
- Ride [sober and on the lane for it|tipsy and on the pavement], since [the limits for drink apply|the limits for drink are for cars].
- Take [nobody on the back|a friend on the back], because [it is made for one|the law cannot count].

# age limits
how: respect age limits {x}
case: I have a question about age limits {x}
x: in my shop | at our club night | for a film | for a summer job
- Ask [for papers when in doubt|for cash when in doubt], as [the seller is responsible|the buyer is responsible].
- Post [the rule where all can see it|the rule where few can see it], and teach [the staff|the guests].
- Refuse [politely and firmly|only if it is easy], for [a fine costs more than a sale|a sale brings more than a fine].

# insurance claim
how: report {x} to an insurer
case: I have to report {x} to my insurer
x: a burst pipe | a stolen bike | a broken phone | storm damage
- Report [soon, with photos and receipts|late, with guesses and stories], and [prevent further damage|let the damage grow].
- State [what it was really worth|three times what it was worth], since [inflated claims are fraud|inflated claims are normal].
- Keep [the broken thing until they reply|the broken thing out of the report], as [they may want to see it|they may ask].

# power of attorney
how: set up a power of attorney {x}
case: I need a power of attorney {x}
x: for my mother | for a house sale | before an operation | while I travel
- Choose [somebody you trust fully|the first one who asks], and [say what they may do|leave all of it blank].
- Write it [while you are of sound mind|once you have lost track], with [a notary if land is involved|a friend if land is involved].
- Tell [a doctor or bank where it is|a stranger or two where it is], so that [it works when needed|it stays unused].

# traffic accident
how: act after a traffic accident {x}
case: I had a traffic accident {x}
x: with a bus | in a tunnel | abroad | on a snowy road
- Secure [the place and call for help|your own things and call a friend], before [anything else|you drive off].
- Exchange [names, plates and insurers|first names and a handshake], and [take photos|take sides].
- Sign [no admission of guilt|any paper at all], because [the insurers sort it out|the first signature wins].

# chain letter of debt
how: answer a letter {x}
case: I got a letter {x}
x: from a debt collector | about an unknown order | with a court stamp | from a strange lawyer
- Check [whether the claim is real|whether the paper looks official], and ask [for proof in writing|for the bank details].
- Object [at once to a court order|never to a court order], since [after the deadline it stands|after the deadline it fades].
- Pay [only what you truly owe|whatever a letter says], and [never by gift card|always by gift card].

# volunteering
how: protect people {x} legally
case: I run a group and worry about liability {x}
x: as a scout leader | at a sports club | for a choir trip | at a repair café
- Ask [whether the club's insurance covers it|whether anyone would dare to sue], and [get it in writing|get it off your mind].
- Have [parents sign and list allergies|parents kept out and guess allergies], before [you leave|they notice].
- Follow [the safety rules and write accidents down|your own rules and cover accidents up].

# name change
how: change {x} officially
case: I have to change {x} officially
x: my address | my surname | a car's owner | a bank account holder
- Do it [within the days the law gives|within the years you feel like], as [a late notice costs a fine|a late notice is free].
- Bring [the original papers and a photo|some copies and an excuse], and [an appointment|a long wait].
- Tell [bank, insurer and employer|only the post office], so that [letters reach you|letters miss you].

# lost passport
how: deal with a lost {x}
case: I lost my {x}
x: passport | driving licence | identity card | work permit
- Report it [to the police and the office|to a friend and the bank], because [others could misuse it|others could return it].
- Apply for [a new one with a photo|a copy from a friend], and carry [the report meanwhile|a receipt meanwhile].
- Tell them [if the old one turns up|nothing if the old one turns up], since [it is no longer valid|two are better than one].
"""
