"""One's own money: situations, and what is right and wrong advice on them (`_advice_medical` describes the form)."""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# emergency fund
how: build up an emergency fund {x}
case: I have no savings for emergencies {x}
x: on a small salary | as a freelancer | with two children | after a divorce
- Put a fixed sum aside [on payday, before you spend|on the last day, if you remember], until it covers [some months of costs|one good party].
- Keep it [in a plain savings account|in one hot stock tip], where it [stays safe and within reach|doubles or dies in a week].
- Use it for [repairs and lost work|gifts and new gadgets], and [fill it up again|never refill it] afterwards.

# lottery
how: plan with money from a lottery {x}
case: I am tempted by the lottery {x}
x: at the corner shop | online | with my colleagues | at work
- Treat a ticket as [a bit of paid fun|the core of a pension], because on average it [loses half its price|wins back its price].
- Spend [no more than you would on a cinema seat|no less than you would on a month of rent], and only from [spare cash|your savings].
- Remember that numbers [have no memory|take turns], so a long wait [changes nothing|means they are due].

# credit card debt
how: pay off credit card debt {x}
case: I owe money on several credit cards {x}
x: from last Christmas | after moving house | from student days | after being ill
- Pay at least the minimum on all of them and put the rest on [the one with the highest rate|the one with the lowest rate].
- Ask for [a cheaper loan that replaces them|another card that tops them up], since [interest is what keeps you down|more credit is what cheers you up].
- Leave the cards [at home until they are paid|in your pocket at all times], so that the debt [can only shrink|can always grow].

# first investment
how: invest a first sum {x}
case: I want to invest for the first time {x}
x: of a thousand euros | from a bonus | from my grandmother | at the age of thirty
- Spread it over [a broad, cheap index fund|a single share with a story], because [no single firm can sink you|one big win is all you need].
- Put in only what you [can leave for ten years|need for next month's rent], since prices [swing in between|rise every month].
- Check [the yearly costs|last month's gain] before you sign, as they [eat into the return|show who will win].

# hot tip
how: judge a share tip heard {x}
case: I was given a sure share tip {x}
x: at a barbecue | in a chat group | from a taxi driver | from my dentist
- Ask who gains from it, because people who own the share [profit when you buy|would never fool you].
- Read [the firm's last reports|the last messages] before you decide, and if you cannot follow them, [stay out|go all in].
- Risk [only what you can lose|all that you can borrow], for a tip that everybody knows is [already in the price|bound to go higher].

# crypto
how: deal with an offer of a new coin {x}
case: I was offered a new coin {x}
x: on a video channel | by an old schoolmate | in an online game | by a stranger who writes daily
- Find out [who runs it and what it does|how loudly people cheer for it], and walk away if [nobody can say|everybody sings].
- Keep it to [a tiny part of your money|every part of your money], because such coins [can fall to nothing|can only ever rise].
- Hold the keys [yourself, in a safe place|out to the seller, for safety], since whoever has them [has the money|is a friend].

# payday loan
how: get through to payday {x}
case: I am short of money until payday {x}
x: because the car broke down | after a big heating bill | with school fees due | this month
- Ask [your employer for an advance|a lender with the loudest ad] first, as it [costs you nothing|costs you three times more].
- Call whoever you owe and [agree on a later date|stop answering the phone], because most of them [accept a plan|forget about it].
- Look at the yearly rate of a quick loan, which is [often above a hundred percent|too small to be worth a thought], and [leave it|take two].

# pension
how: save for a pension {x}
case: I have not begun to save for old age {x}
x: at twenty-five | at forty | as a self-employed painter | with a part-time job
- Start [now with a small sum|later with a big sum], because interest on interest [needs time to work|works in an afternoon].
- Take any share that your employer [adds, since it is free money|adds and send it back], before you look at [other plans|a new car].
- Shift to calmer investments [as the date comes near|as long as you are young], so that a crash [cannot take it all|can teach you something].

# budget
how: make a budget {x}
case: My money is gone before the month ends {x}
x: every time | since I live alone | since the baby came | although I earn enough
- Write down [all that you spend for a month|what you wish to spend one day], because [small sums add up unseen|only large sums count].
- Pay [rent, food and savings first|treats, trips and gifts first], and share out [what is left|what the bank lends].
- Look at the list [once a week|once a decade], and cut [what you would not miss|what you need to live].

# mortgage
how: choose a mortgage {x}
case: We are about to sign a mortgage {x}
x: for a small flat | for an old house | for our first home | with a local bank
- Compare [several offers by their full yearly cost|a single offer by its cover letter], fees [included|left out].
- Borrow what you can still pay if [one of you loses work|both of you win prizes], with [a margin for repairs|no money for repairs].
- Fix the rate for [as long as you need to feel safe|as short as the bank would like], because rates [may rise|only fall].

# rent or buy
how: decide between renting and buying {x}
case: I wonder whether to rent or buy {x}
x: in a big city | in a village | near my parents | for the next few years
- Count [all costs, such as taxes and repairs|only the price in the advert], and compare that with [the rent|the weather].
- Buy only if you will [stay for many years|move within months], since fees on a sale [eat up the gain|come back to you].
- Keep [a reserve after the down payment|nothing after the down payment], because a house [always needs something|never needs anything].

# car loan
how: pay for a car {x}
case: I need to buy a car {x}
x: for commuting | for a growing family | for my first job | in the country
- Look at [the total cost over the years|the size of the first payment], with fuel and insurance [counted in|forgotten].
- Choose a [sound used car|brand new sports car], as the first year [takes a fifth of the value|adds a fifth to the value].
- Borrow [little and for a short time|a lot and for a long time], so that you [do not owe more than it is worth|always owe more than it is worth].

# too good to be true
how: check an investment that promises {x}
case: I was promised {x} on my savings
x: two percent a week | a doubled stake | a guaranteed ten percent | a secret strategy
- See whether the firm is [listed by the financial regulator|loved by the person selling], and [stay away|sign today] if it is not.
- Ask yourself where the return comes from, since early gains are often paid [by those who join later|by kindly rich people].
- Take [time and a second opinion|the first offer and a loan], because whoever hurries you [has a reason|means well].

# tax return
how: do a tax return {x}
case: I have to hand in a tax return {x}
x: for the first time | with income from abroad | with a side job | after a house move
- Collect [receipts and statements through the year|whatever lies about on the last night], and keep [copies|nothing].
- Declare [all that you earned|what you feel like], because the office [hears of it from others|never hears of anything].
- Hand it in [before the deadline|when they threaten you], since a late one [costs a fine|earns a bonus].

# insurance
how: choose insurance {x}
case: I am not sure which insurance I need {x}
x: as a student | as a young family | for a rented flat | as a cyclist
- Insure [what could ruin you|what costs little], such as [harm done to others|a scratched phone], before anything else.
- Read [what the policy leaves out|how nice the brochure is], and ask until [you understand it|you like the agent].
- Compare prices [every year or two|never again], because loyal customers [often pay more|are always rewarded].

# lending to a friend
how: lend money {x}
case: I have been asked to lend money {x}
x: to my best friend | to a cousin | to a new colleague | to my brother
- Lend only what you could [afford to give away|not live a week without], since it [may not come back|comes back doubled].
- Write down [sum and date, and sign it|neither sum nor date, and trust], which [keeps the friendship|tests the friendship].
- Say no kindly if [it would hurt you|it would bore you], and never [borrow to lend|ask what it is for].

# co-signing
how: answer a request to co-sign {x}
case: I am asked to co-sign {x}
x: a car loan | a lease | a student loan | a phone contract
- Treat it as [your own debt|a mere greeting], because if the other stops paying, [the bank comes to you|the bank lets it go].
- Ask for [the full contract|a short summary] and check that you [could pay it alone|like the person].
- Limit it to [a sum and a date|nothing at all], or [offer help of another kind|sign a blank page instead].

# market crash
how: act when share prices fall {x}
case: My shares have lost value {x}
x: this week | since I bought them | after bad news | by a third
- Keep [calm and stick to the plan|selling all that has fallen], because those who sell in panic [miss the recovery|own the recovery].
- Go on with [the monthly amount|the monthly panic], as it now buys [more for the same money|less for more money].
- Check whether the money is [needed soon|good looking], and only then [move some to safety|double it with a loan].

# borrowing to invest
how: invest with borrowed money {x}
case: I could borrow money to invest {x}
x: from my bank | through a broker | on my house | with a card
- Leave it, because the loan [stays when the shares fall|melts when the shares fall], and then [you have to sell low|the bank lets you off].
- Compare the interest with the return, which is [certain for the one, a hope for the other|a hope for the one, certain for the other].
- Use [money that you own|money that others own], so that a bad year [does not ruin you|is for someone else].

# gold
how: decide how much gold to hold {x}
case: I think of buying gold {x}
x: as a safe haven | for my children | because of inflation | with my savings
- Keep it to [a small share|the whole] of your savings, since its price [swings and it pays no interest|stands still and it pays rich interest].
- Buy [from a known dealer, near the market price|from a stranger online, far above the price].
- Store it [in a vault and insure it|in the car and show it], as [stolen gold is gone|thieves never take it].

# bank fees
how: cut bank fees {x}
case: My bank charges me a lot {x}
x: for a simple account | for cash abroad | for every transfer | for an overdraft
- Compare [what other banks ask for the same|how close other banks are], and [switch|stay] if yours costs more.
- Ask yours for [a cheaper account|a dearer account], since [many have one they do not advertise|a high price means that it is safer].
- Avoid the overdraft, because its rate is [among the highest|among the lowest] and it [grows unseen|fades unseen].

# identity theft
how: react to a strange charge {x}
case: There is a charge that I do not know {x}
x: on my card | from a foreign shop | in last month's statement | for a small sum
- Call the bank [at once and block the card|next year, once it has grown], as small charges are [often a test|a mere mistake].
- Change [the passwords that matter|no password at all] and look through [older statements|no statements].
- Report it [in writing, with the date|by word, with no date], because then [the bank has to refund it|the bank will remember it].

# inheritance
how: handle an inheritance {x}
case: I inherited some money {x}
x: from an aunt | along with a house | with debts in it | quite suddenly
- Let it rest [in a savings account for some months|in the first fund that calls you] before you [decide|look].
- Find out [about tax and debts first|about cars and trips first], because [you may have to refuse it|you may miss a sale].
- Pay off [dear loans|no loans] and then [invest with a plan|spend without one].

# student loan
how: handle a student loan {x}
case: I am about to take a student loan {x}
x: for a first degree | for a master's | for a year abroad | for living costs
- Borrow only [what your budget lacks|the largest sum they offer], because [each euro comes back with interest|the rest is a present].
- Look for [grants first, which need no repayment|dear loans first, which need a guarantor].
- Find out [when repayment starts|where you can borrow more], and tell them [if you earn too little|nothing at all].

# children and money
how: teach a child about money {x}
case: My daughter asks about money {x}
x: at the age of eight | before her first job | because of a toy | since she gets gifts
- Give [a small fixed sum on a fixed day|a large odd sum on demand], and let her [decide what it buys|cry until it grows].
- Let her [save for a wish|borrow for a wish], because waiting [makes the value clear|makes children weak].
- Talk [openly about prices|only in whispers], and show [how you choose|how you hide bills] in the shop.

# wedding costs
how: plan the costs {x}
case: We worry about the costs {x}
x: of a wedding | of a big birthday | of a family reunion | of a golden anniversary
- Set [a total first and then share it out|the menu first and never add it up], with [a tenth for surprises|a loan for surprises].
- Choose [what matters most to you|what costs most to show], and save on [the rest|no part of it].
- Pay [from savings, step by step|with cards, all at once], as a day [is not worth years of debt|is well worth years of debt].

# subscriptions
how: get on top of subscriptions {x}
case: I pay for too many subscriptions {x}
x: on my phone | for films and music | that I forgot about | for gyms and boxes
- Go through [three bank statements|none of your statements] and list [what repeats|what you remember].
- Cancel whatever you [did not use last month|liked best last month], since you can [come back any time|never have too few].
- Note [the end of free trials|no end of free trials], because they [turn into paid ones|stay free for life].

# salary talk
how: ask for a higher salary {x}
case: I feel underpaid {x}
x: after three years | in a new role | compared with others | with more duties
- Find out [what others earn for such work|how much the boss has inherited], and name [a figure with reasons|a figure at random].
- List [what you have achieved|what you have endured], and speak [calmly, at a planned time|loudly, at the Christmas do].
- If the answer is no, ask [what it would take|who is to blame] and [set a date|stop working].

# side business
how: set up the money side of a small business {x}
case: I am starting a small business {x}
x: selling cakes | repairing bikes | teaching music | as a gardener
- Open [a separate account|no account at all], so that [the books stay clear|the books stay short].
- Set aside [part of each payment for tax|none of any payment for tax], because the bill [comes a year later|gets lost on its way].
- Start [small and with orders in hand|big and with rooms on lease], as [costs come before income|luck comes before work].

# overspending online
how: stop buying too much {x}
case: I buy too much {x}
x: late at night | during sales | on my phone | when I am sad
- Wait [a day before each purchase|less than a blink], because [most wishes pass|most wishes are wise].
- Delete [the saved card from the shops|no card from the shops], so that buying [takes an effort|takes one tap].
- Plan [a monthly sum for fun|a yearly loan for fun], and [stop when it is gone|go on when it is gone].

# negotiating a bill
how: deal with a bill that is too high {x}
case: I got a bill that is far too high {x}
x: from a plumber | from the power company | from a clinic | from a garage
- Ask for [a list of every item|a higher total sum], and compare it with [what was agreed|nothing at all].
- Object [in writing and pay the part you accept|in silence and pay double to be polite].
- Get help from [a consumer office|the same company], which [knows the usual prices|tells you the fairest price].

# currency exchange
how: change money {x}
case: I need foreign cash {x}
x: for a trip to Japan | at the airport | for a market abroad | before a cruise
- Draw it [from a bank machine on the spot|from the first booth at the airport], as the rate there is [usually fairer|shown in lights].
- Pay in [the local currency|your own currency] when a terminal asks, since the other way [adds a hidden fee|adds a high tax].
- Carry [a little cash and two cards|all your savings in one belt], kept [apart|in view].

# door-to-door sale
how: answer a seller {x}
case: A seller wants me to sign now {x}
x: at my door | at a free dinner | on the phone | in the street
- Ask for [the papers and a week|a pen and sign it], because an honest offer [is still there tomorrow|is gone by tomorrow].
- Give [no bank details|all bank details] on the spot, whatever [discount is promised|doubt you may have].
- Know that you can often [withdraw within two weeks|pay within two minutes], which [the law allows|the seller likes].

# retirement spending
how: spend savings in retirement {x}
case: I have just retired {x}
x: with a modest pension | with a house | at sixty-three | with my husband
- Plan for [ninety years of age or more|two or three good summers], and take out [a few percent a year|half of it in the first year].
- Keep [some years of costs in safe money|no single coin in safe money], and the rest [spread in funds|on one share].
- Check [the plan every year|the plan never], and spend less [after bad markets|after good markets].

# gambling
how: keep gambling in check {x}
case: I have lost money gambling {x}
x: on football bets | in an arcade | at online poker | on slot machines
- Stop [when the set sum is gone|once you have won it back], because chasing losses [makes them larger|is how they vanish].
- Ask the site to [block your account|raise your limit], and hand [your cards|your pay slip] to somebody you trust.
- Talk to [a free helpline|a bigger bookmaker], since [many people get out with help|a good system needs time].

# charity
how: give to charity {x}
case: I would like to give some money {x}
x: after an earthquake | to an animal shelter | at Christmas | to a stranger with a tin
- Check [a charity register|the tone of the ad], and see how much [reaches the cause|is spent on posters].
- Give [directly, by bank transfer|in cash, to any stranger], so that [you have a receipt|nobody needs a receipt].
- Choose a sum that [fits your budget|empties your account], and prefer [steady gifts|sudden gifts].

# joint account
how: share money as a couple {x}
case: We argue about money {x}
x: since we moved in together | because one earns more | before the wedding | since I stopped working
- Use [one account for shared costs and one for each|one secret account each and no shared one].
- Pay in [by share of income|by nothing but mood], so that it [feels fair to both|ends in a winner].
- Talk about it [once a month, with the figures|once a year, with the lights off], and [hide nothing|hide the worst].

# inflation
how: protect savings from inflation {x}
case: My savings lose value {x}
x: in a current account | because prices rise | every year | under the mattress
- Move what you [do not need soon|need every day] into [broad funds or fixed deposits|a friend's new start-up].
- Compare interest [with the rise in prices|with the age of the bank], because [what counts is what it buys|what counts is the number].
- Keep [cash for some months only|cash for a lifetime only], since money at rest [shrinks a little each year|grows a little each year].

# buying used
how: buy a used {x} without being cheated
case: I want to buy a used {x}
x: phone | sofa | camera | piano
- See it [in daylight and try it out|in a photo and trust it], and ask [for the receipt|for the seller's word alone].
- Pay [when you have it in hand|weeks before you see it], never [by a gift card|by a fair method].
- Compare [three similar offers|no other offers], and walk away if [the story changes|the price is fair].

# credit score
how: improve a credit score {x}
case: My credit score is poor {x}
x: after a missed payment | since I moved here | because of an old phone bill | before a mortgage
- Pay [every bill on time, with a standing order|every other bill late, for the excitement].
- Ask for [a copy of your file and correct mistakes|a copy of a friend's file and send that].
- Apply for [few new loans|many new loans], since [each request leaves a mark|each request shows courage].
"""
