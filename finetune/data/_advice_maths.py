"""School mathematics: situations, and true and false rules on them (`_advice_medical` describes the form)."""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# triangle area
how: find the area of a triangle {x}
case: I have to find the area of a triangle {x}
x: for homework | in a floor plan | for a sail | in a test
- Multiply the base by the height and [halve|double] the result, so that a base of 6 and a height of 4 give [12|48].
- Think of [half a rectangle|two rectangles] with the same base and height, which is [why you halve|why you double].
- Measure the height [at a right angle to the base|along the longest side], since [only that is the height|any side is the height].

# circle area
how: find the area of a circle {x}
case: I need the area of a circle {x}
x: for a round table | for a pizza | in a maths test | for a pond
- Square the [radius and multiply by pi|diameter and multiply by pi], so that a radius of 2 gives about [12.6|50.3].
- Take pi as about [3.14|4.13], which is the ratio of [circumference to diameter|diameter to circumference].
- Expect [four|two] times the area when the radius doubles, because the radius is [squared|doubled] in the rule.

# circumference
how: find the circumference of {x}
case: I need the circumference of {x}
x: a wheel | a tree trunk | a round cake | a pipe
- Multiply the [diameter|radius] by pi, so that a [diameter|radius] of 10 gives about 31.4.
- Halve [the diameter to get the radius|the radius to get the diameter] if only the other one is known.
- Expect [twice|four times] the circumference when the radius doubles, since the rule has [no|a] square in it.

# adding fractions
how: add fractions {x}
case: I am stuck at adding fractions {x}
x: in a recipe | for homework | with different denominators | in my head
- Bring both to [a common denominator|a common numerator] first, since [only equal parts can be counted|only equal tops can be counted].
- Add [only the numerators|tops and bottoms alike] then, so that a half and a third give [five sixths|two fifths].
- Check [that the sum is larger than either part|that the sum is smaller than either part], as for a half and a third.

# multiplying fractions
how: multiply fractions {x}
case: I have to multiply fractions {x}
x: for a recipe | on a worksheet | in an exam | without a calculator
- Multiply [top by top and bottom by bottom|top by bottom and bottom by top], so that a half of a third is [one sixth|three halves].
- Cancel common factors [before you multiply|by adding them up], which [keeps the numbers small|makes the numbers grow].
- Expect a [smaller|larger] number when you multiply by a half, because you take [a part|a double] of it.

# dividing fractions
how: divide fractions {x}
case: I do not understand dividing fractions {x}
x: in class | for my son | in a quiz | in a textbook
- Turn [the second fraction over and multiply|the first fraction over and add], so that 3 divided by a half is [6|1.5].
- Ask [how often the second fits into the first|how often the first fits into the second] to see what the result means.
- Expect a [larger|smaller] number when you divide by a half, since halves fit in [more|less] often than wholes.

# percentages
how: work out a percentage {x}
case: I need to work out a percentage {x}
x: of a bill | for a tip | in a table | of a class
- Divide by [100|10] and multiply by the percent, so that 15 percent of 80 is [12|120].
- Find [ten percent by shifting the point once|ten percent by shifting the point twice], and build the rest from that.
- Remember that percent means [out of a hundred|out of a dozen], so a half is [50|6] percent.

# discount
how: work out a discount {x}
case: I want to work out a discount {x}
x: on a jacket | in a sale | for a group ticket | on a bike
- Take the percent of the price [away from it|on top of it], so that 20 percent off 50 leaves [40|60].
- Multiply by [0.8|1.2] for 20 percent off, since [80|120] percent of the price are left.
- Apply two discounts [one after the other|by adding them up], so that twice 10 percent makes [19|20] percent in all.

# percent change
how: work out a percent change {x}
case: I have to give a percent change {x}
x: in prices | of a salary | in sales | in a report
- Divide the change by the [old|new] value, so that a rise from 40 to 50 is [25|20] percent.
- Remember that a rise of 50 percent and a fall of 50 percent [do not cancel|exactly cancel], and leave [75|100] of a hundred.
- Tell percent [from percentage points|like percentage points], since going from 2 to 3 percent is a rise by [half|one percent].

# average
how: find an average {x}
case: I have to find an average {x}
x: of marks | of daily steps | of prices | in an experiment
- Add all values and divide by [how many there are|the largest one], so that 2, 4 and 9 give [5|1.7].
- Use the median when [a few values are extreme|no values are extreme], because the mean [is pulled along|stays where it is].
- Weight [groups by their size|groups all alike], since the average of two averages is [not always|always] the overall one.

# median
how: find the median {x}
case: I need the median {x}
x: of five numbers | of incomes | of test scores | of an even set
- Put the values [in order and take the middle one|in any order and take the first one], so that 7, 1 and 3 give [3|7].
- With an even number of values take [the mean of the two middle ones|the sum of the two outer ones].
- Expect it to [stay put when the largest value grows|grow along when the largest value grows], unlike [the mean|the rest].

# dice
how: work out chances with {x}
case: I have to work out chances with {x}
x: one die | two dice | a coin | a spinner
- Divide the [cases that count by all equal cases|equal cases by all that count], so that a six has a chance of [1 in 6|6 in 1].
- Multiply the chances [of independent events|of opposite events] to get both, so that two sixes in a row are [1 in 36|1 in 12].
- Remember that [dice have no memory|dice keep a balance], so after five sixes the next one is [as likely as ever|hardly possible].

# coin tosses
how: judge a run of tosses {x}
case: I wonder about a run of heads {x}
x: in a game | in a bet | in a class trial | with a new coin
- Expect heads with a chance of [one half on every toss|less on every toss], whatever [came before|came last].
- Work out three heads in a row as a half [cubed, which is one eighth|tripled, which is three halves].
- Know that the share of heads [comes close to a half in the long run|moves away from a half in the long run].

# negative numbers
how: calculate with negative numbers {x}
case: I get signs wrong {x}
x: in algebra | for temperatures | in a bank account | on tests
- Count minus times minus as [plus|minus], so that -3 times -4 is [12|-12].
- Read taking away a negative number as [adding|taking away], so that 5 minus -2 is [7|3].
- Place -8 [to the left of -3 on the line|to the right of -3 on the line], since it is [smaller|larger].

# order of operations
how: use the order of operations {x}
case: I am unsure about the order of operations {x}
x: in long sums | with brackets | on a calculator | with powers
- Do [multiplication before addition|addition before multiplication], so that 2 plus 3 times 4 is [14|20].
- Work out brackets [first|last], and powers [before products|after products].
- Go from [left to right|right to left] among equals, so that 10 minus 4 minus 3 is [3|9].

# powers
how: calculate with powers {x}
case: I mix up the rules for powers {x}
x: of ten | of two | in science | with equal bases
- Add the exponents when you [multiply equal bases|add equal bases], so that two cubed times two squared is [32|64].
- Read any number to the power of nought as [1|0], since dividing it by itself gives [one|nothing].
- Read a negative exponent as [a fraction|a negative number], so that ten to the -2 is [0.01|-100].

# square roots
how: find a square root {x}
case: I have to find a square root {x}
x: without a calculator | in geometry | of a large number | for a test
- Look for the number that gives it when [multiplied by itself|added to itself], so that the root of 49 is [7|24.5].
- Split [products, not sums,|sums, not products,] under the root, so that the root of 9 plus 16 is [5|7].
- Squeeze it [between two squares you know|between two halves you know], so that the root of 30 is about [5.5|15].

# equations
how: solve an equation {x}
case: I cannot solve an equation {x}
x: with one unknown | in my homework | with brackets | from a word problem
- Do the same to [both sides|one side], because [only then it stays true|only then it moves on].
- Undo [plus by minus and times by division|plus by times and minus by division], so that 2x plus 3 equals 11 gives [4|7].
- Put your result [back in as a check|aside without a check], which [shows slips at once|only leads to doubts].

# slope
how: find the slope of a line {x}
case: I need the slope of a line {x}
x: on a graph | through two points | of a ramp | in physics
- Divide the change in [height by the change in length|length by the change in height], so that 6 up over 3 along is [2|0.5].
- Read a falling line as [a negative slope|a slope of nought], and a level one as [nought|minus one].
- Recognise parallel lines by [equal slopes|opposite slopes], since they [rise alike|cross at once].

# pythagoras
how: use the theorem of Pythagoras {x}
case: I want to use the theorem of Pythagoras {x}
x: for a ladder | for a screen | in a triangle | on a map
- Add the squares of [the two short sides|all three sides], so that legs of 3 and 4 give a long side of [5|7].
- Use it [only with a right angle|with any angle at all], as [other triangles do not obey it|all triangles obey it alike].
- Take the root [at the end|at the start], after [adding the squares|adding the sides].

# angles
how: find a missing angle {x}
case: I have to find a missing angle {x}
x: in a triangle | at a crossing | in a polygon | in a drawing
- Use that the angles of a triangle add up to [180|360] degrees, so that 50 and 60 leave [70|250].
- Set opposite angles at a crossing [equal|to a sum of 90], and neighbours to a sum of [180|100].
- Split a polygon into [triangles|circles], so that a four-sided one has [360|400] degrees.

# volume
how: find the volume of {x}
case: I have to find the volume of {x}
x: a fish tank | a box | a swimming pool | a brick
- Multiply [length, width and height|length and width alone], so that 2 by 3 by 4 gives [24|6].
- Expect [eight|two] times the volume when all edges double, since [each of three directions doubles|only one direction counts].
- Turn a cubic metre into [1000|100] litres, because a litre is a cube [ten|five] centimetres wide.

# units
how: convert units {x}
case: I keep mixing up units {x}
x: of length | of weight | of area | in a recipe
- Multiply when you go to [smaller|larger] units, so that 3 metres are [300|0.03] centimetres.
- Square the factor [for areas|for lengths], so that a square metre has [10000|100] square centimetres.
- Write [the unit along in every step|no unit down in any step], and [cancel it like a number|guess it at the end].

# speed
how: work out {x} from time and distance
case: I have to work out {x} from time and distance
x: a speed | an average speed | a train's speed | my running speed
- Divide the [distance by the time|time by the distance], so that 120 km in 2 hours are [60|240] km an hour.
- Turn minutes into hours by dividing by [60|100], so that 30 minutes are [0.5|0.3] hours.
- Average over [the whole way and whole time|the two speeds alone], as slow parts [take longer|count less].

# rule of three
how: scale {x} up
case: I want to scale {x} up
x: a recipe for four to six | a price for 3 kg to 5 kg | a plan | a paint mix
- Find [the amount for one|the amount for none] first, then [multiply by the new number|add the new number].
- Keep [ratios equal|differences equal], so that 4 to 6 is like 10 to [15|12].
- Turn it round when [more helpers mean less time|more apples mean more cost], as that is [inverse|direct].

# rounding
how: round numbers {x}
case: I have to round numbers {x}
x: to tens | to one decimal | in a bill | in a report
- Look at [the next digit|the first digit] and round up from [5|2] on, so that 43 becomes [40|50].
- Round [once, at the end|after every step], since [errors add up|errors cancel out].
- Write [2.0 if one decimal is asked for|2 if one decimal is asked for], because [zeros show precision|zeros mean nothing].

# decimals
how: compare decimals {x}
case: I mix up decimals {x}
x: in prices | on a ruler | in sports times | in a list
- Compare [place by place from the left|the number of digits behind the point], so that 0.5 is [larger|smaller] than 0.45.
- Add noughts [at the end without change|at the front without change], so that 0.5 is [0.50|0.05].
- Shift the point to [the right to multiply by ten|the left to multiply by ten], so that 0.3 becomes [3|0.03].

# primes
how: test whether {x} is prime
case: I have to test whether {x} is prime
x: 91 | 97 | 119 | 127
- Try primes up to [its square root|its double], because [a larger factor has a smaller partner|a smaller factor has no partner].
- Count 1 as [no prime|a prime] and 2 as [a prime, the only even one|no prime, like all even ones].
- Use the digit sum to test [division by three|division by seven], as a sum of 9 [means that three divides it|means that seven divides it].

# divisibility
how: check divisibility {x}
case: I want to check divisibility {x}
x: by 3 | by 9 | by 4 | by 6
- Test 3 and 9 by [the sum of the digits|the last digit], so that 123 is [divisible by 3|not divisible by 3].
- Test 4 by [the last two digits|the first two digits], and 5 by a final [0 or 5|3 or 8].
- Call it divisible by 6 if [2 and 3 both divide it|5 and 1 both divide it], as [6 is their product|6 is their sum].

# greatest common divisor
how: find the greatest common divisor {x}
case: I need the greatest common divisor {x}
x: of 24 and 36 | of two lengths | to cancel a fraction | of large numbers
- Take the [common primes|prime sums] with their lowest powers, so that 24 and 36 have [12|60].
- Replace the larger number by [the remainder of a division|the product of both] until [nothing remains|nothing changes].
- Expect it to be [at most the smaller number|at least the larger number], since it [divides both|is divided by both].

# simple interest
how: work out interest {x}
case: I want to work out interest {x}
x: on savings | for half a year | on a loan | over three years
- Multiply sum, rate and [years|months], so that 200 at 5 percent bring [10|120] in a year.
- Let interest [earn interest after each year|shrink the sum after each year], so that 100 at 10 percent become [121|81] in two.
- Divide the yearly rate by [12 for a month|7 for a month], if the rate is [given per year|given per week].

# ratios
how: split something {x}
case: I have to split something {x}
x: in the ratio 2 to 3 | among partners | between two classes | by age
- Add the parts first, so that 2 to 3 has [5|6] parts, and [divide the whole by that|multiply the whole by that].
- Give each [its number of parts|an equal part], so that 50 becomes [20 and 30|25 and 25].
- Check that the pieces [add up to the whole|add up to double the whole], and [that the ratio holds|that the ratio is gone].

# scientific notation
how: write {x} in powers of ten
case: I have to write {x} in powers of ten
x: a large number | a tiny number | a distance in space | the size of a cell
- Put the point after [the first digit|the last digit] and count [the places it moved|the noughts in it], so that 4500 is 4.5 times ten to the [3|2].
- Use a negative exponent for numbers [below one|below nought], so that 0.02 is 2 times ten to the [-2|2].
- Add [the exponents when you multiply|the exponents when you add], and [multiply the front numbers|ignore the front numbers].

# graphs
how: read {x}
case: I find it hard to read {x}
x: a bar chart | a line graph | a pie chart | a chart in the news
- Look at [the axes and their units first|the colours and their beauty first], and whether they begin [at nought|at the left].
- Be careful with [a cut axis, which makes gaps look big|a full axis, which makes gaps look big].
- Remember that [two lines that rise together need not be cause and effect|two lines that rise together must be cause and effect].

# sets
how: count with overlaps {x}
case: I have to count people {x}
x: in two clubs | who speak two languages | with two pets | in two classes
- Add both groups and take away [those in both|those in neither], so that 10 and 8 with 3 in both are [15|21].
- Draw [two circles that overlap|two circles far apart], and fill [the middle first|the edge first].
- Count [each person once|some people twice], since [overlaps would count double|overlaps are worth double].

# combinations
how: count {x}
case: I have to count {x}
x: outfits | menus | codes | ways to pair up teams
- Multiply [the choices of each step|the names of each step], so that 4 shirts and 3 trousers make [12|7] outfits.
- Divide by the number of orders if order [does not matter|does matter], so that pairs out of 5 are [10|20].
- Count digits with repeats as [10 for each place|1 for each place], so that 3 digits make [1000|30] codes.

# clock arithmetic
how: add times {x}
case: I make mistakes when I add times {x}
x: for a timetable | for a film night | of a relay | for working hours
- Carry at [60 minutes|100 minutes], so that 45 and 30 minutes make [1 hour 15|0 hours 75].
- Turn 1.5 hours into [90|150] minutes, since the half is [30|50] minutes.
- Count from the start to [the full hour first|the wrong hour first], then [add the rest|drop the rest].

# zero
how: calculate with zero {x}
case: I am confused about zero {x}
x: in division | in products | as an exponent | on a test
- Leave division by zero [undefined|as zero], because [no number times zero gives one|each number times zero gives one].
- Count any product with zero as [zero|the other number], so that 7 times 0 is [0|7].
- Treat zero as [an even number|an odd number], since [half of it is whole|half of it is missing].

# straight lines
how: draw a straight line {x}
case: I have to draw a straight line {x}
x: from its equation | through a point | for a cost model | on paper
- Start at [the constant on the upright axis|the slope on the upright axis], then go [one right and the slope up|one left and the slope up].
- Use [two points and check a third|one point and guess a second], since [two fix a line|one fixes a line].
- Read a cost of 5 plus 2 per item as [5 at the start and slope 2|2 at the start and slope 5], so 3 items cost [11|21].

# expanding brackets
how: multiply out brackets {x}
case: I make mistakes when I multiply out brackets {x}
x: with a minus | with two terms | in equations | in an exam
- Multiply [every term inside|the first term inside], so that 3 times the sum of x and 2 is 3x plus [6|2].
- Turn [all signs inside after a minus|no signs inside after a minus], so that 5 less the sum of x and 1 is [4 less x|6 less x].
- Keep the middle term in a square, so that x plus 3 squared has [6x|0x] between x squared and [9|6].

# logarithms
how: work with logarithms {x}
case: I do not get logarithms {x}
x: to base ten | in chemistry | in sound levels | in class
- Ask [to which power the base is raised|by which number the base is divided], so that the log of 1000 to base ten is [3|100].
- Turn a product into [a sum of logs|a product of logs], so that the log of 10 times 100 is [3|2].
- Take the log of 1 as [0|1], because any base to the power of [nought is one|one is one].
"""
