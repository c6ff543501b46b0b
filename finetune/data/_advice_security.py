"""Accounts, phones and programs: situations, right and careless advice on them (`_advice_medical` has the form)."""

# ruff: noqa: E501 - one piece of advice to a line

TEXT = """
# choosing a password
how: choose a password {x}
case: I need a new password {x}
x: for my email | for online banking | for the work laptop | for a shop account
- Make it [long and random, of several words|short and simple, of your first name], because [length defeats guessing|short ones are never guessed].
- Use it [for this one account only|for all your accounts alike], so that [one leak opens one door|one word opens every door].
- Keep it [in a password manager|on a note at the screen], which [is locked with a strong phrase|is handy for all who pass].

# two-factor login
how: set up two-factor login {x}
case: I am asked to set up two-factor login {x}
x: for my mail | at work | for my bank | for a game account
- Turn it [on, since a stolen password is then not enough|off, since a stolen password is then enough], above all [for mail|for money].
- Choose [an app or a key|a question on your pet], because [text messages and facts can be caught|pets keep secrets that codes give away].
- Store the backup codes [on paper in a drawer|in a public post], so that [you get in without the phone|friends can help you get in].

# phishing mail
how: spot a fake message {x}
case: I got an urgent message {x}
x: from my bank | from a parcel service | from the tax office | from my boss
- Look at [the sender's full address|the sender's nice greeting], and trust [your own bookmark instead of the link|the link instead of your own bookmark].
- Take your time, because [pressure is the usual trick|a quick click shows respect], and [ask by phone if in doubt|send your data if in doubt].
- Report it [to the service and delete it|to nobody and reply to it], and leave the attachment [closed|open].

# phone scam
how: handle a caller who {x}
case: I got a call from somebody who {x}
x: says my computer is infected | offers a refund | claims to be the police | asks for a code
- Hang up and call [the official number yourself|the same number right back], since [the display can be faked|the display is always right].
- Tell him [no code, ever|each code, at once], because [real staff never ask for it|real staff always need it].
- Let nobody [steer your computer from afar|talk you out of helping him], even if [he sounds friendly|he sounds unsure].

# public wifi
how: use wifi {x}
case: I have to use the wifi {x}
x: at the airport | in a café | at a hotel | on the train
- Do banking [over the phone's own network|over any network called free], as [strangers may run an open one|open ones are checked by the police].
- Look for [the lock in the address bar|the name on the start page], and turn sharing [off|on].
- Let the device [forget the network afterwards|join every network by itself], so that it [does not connect unasked|is never without one].

# software updates
how: keep software up to date {x}
case: I keep getting asked to update {x}
x: my phone | my old laptop | the router | the office computers
- Install updates [soon, as they close known holes|never, as they open fresh holes], and let them run [overnight|out of space].
- Take them [from the maker's own page|from a window that pops up], since [fake ones carry malware|fake ones run faster].
- Replace [devices that get no more fixes|locks that have worked so far], because [holes then stay open|old holes heal with age].

# backups
how: back up {x}
case: I have no backup of {x}
x: my photos | my thesis | our club's files | the shop's books
- Keep [two copies, one of them elsewhere|one copy, on the same disk], because [fire and thieves take both at once|fire and thieves only want new disks].
- Let it run [by itself every night|by hand every few years], and test [whether you can restore it|whether the light is green].
- Unplug [the backup disk after use|the main disk while it writes], so that malware [cannot reach it|cannot wait for it].

# lost phone
how: act when a phone is lost {x}
case: I lost my phone {x}
x: in a taxi | at a festival | on a trip | in the office
- Lock [and locate it from another device|nothing and hope that it comes back], then [erase it if it is gone for good|post its code if it is gone for good].
- Have [the card blocked by your provider|the card left open for a finder], since [calls and codes go through it|a finder may want to call home].
- Change [the passwords that were stored on it|the ringtone that was stored on it], mail [first|last].

# api keys
how: store {x} in a project
case: I have to store {x} in my project
x: a database password | an API key | a signing key | a mail token
- Put it [in a secrets manager or the environment|in the source, in the first line], outside [the repository|the back-up].
- Replace it [at once if it was ever committed|after some years if anyone complains], as [history keeps it|history hides it].
- Give it [the fewest rights it needs|all the rights there are], so that a leak [does little harm|is worth the effort].

# sql input
how: pass {x} to a database
case: My program passes {x} to a database
x: a search field | a login form | a web address | a user's comment
- Use [placeholders and let the driver fill them|plain text and glue the input in], because [input is data, not code|input is always well meant].
- Give the account [only the rights it needs|the rights of the administrator], so that [a slip stays small|a query never fails].
- Show users [a short error and log the rest|the full error with the query], since [details help attackers|details calm attackers].

# smart home
how: secure {x}
case: I bought {x}
x: a smart lock | a baby camera | a smart speaker | a robot cleaner
- Change [the default password on the first day|the default name on the last day], because [lists of them are public|makers pick them well].
- Put it [on a guest network|on the office network], so that it [cannot see your computers|can see all your computers].
- Turn off [what you do not use|what protects it], such as [access from outside|login from inside].

# router
how: set up a router {x}
case: I have a new router {x}
x: from my provider | in a shared flat | in a small office | from a friend
- Choose [the newest encryption and a long key|no encryption and no key], as [neighbours can hear the radio|radio stops at the wall].
- Give it [an admin password of its own|the admin password from the box], which is [not the wifi key|known to anyone who looks].
- Switch off [remote access and look for updates|the firewall and look for bargains] now and then.

# children online
how: keep a child safe {x}
case: I worry about my child {x}
x: in online games | with the first phone | on video sites | in group chats
- Talk about [what must stay private|what sells best], such as [address, school and photos|nothing, as strangers mean well].
- Set [limits together and keep them|traps in secret and spy], so that [the child comes to you with trouble|the child hides all trouble].
- Learn [how to block and report|how to look away], and do it [at the first nasty message|after years of nasty messages].

# usb stick
how: deal with {x}
case: I found {x}
x: a memory stick in the car park | a charger in the train | a disk on my desk | a stick in the post
- Leave it [unplugged and hand it in|plugged in and look through it], since [such things can carry malware|such things only carry holiday photos].
- Charge [with your own plug|with any cable], because a cable [can pass data as well|can pass power alone].
- Ask [the owner or the IT desk first|neither the owner nor the IT desk], even if [a label makes you curious|a label tells you to stop].

# email attachment
how: check an attachment {x}
case: I was sent an attachment {x}
x: by an unknown sender | as an invoice | in a zip file | with a macro
- Open it [only if you expected it|most of all if it is a surprise], and ask [the sender by another way|the sender by reply].
- Leave macros [off|on], because [they run code on your computer|they keep code off your computer].
- Let [the scanner check it first|nothing check it first], and look at [the real file ending|the nice file icon].

# selling a device
how: prepare {x} for sale
case: I want to sell {x}
x: my old laptop | a used phone | a hard disk | a tablet
- Back up, then [erase it fully by the reset|rename the folders on it], since [deleted files can be restored|deleted files are gone for good].
- Sign out of [all accounts first|no accounts at all], so that [the buyer can use it|the buyer can use them].
- Take out [memory cards and SIM|screws and stickers], and [note the serial number|note the passwords on it].

# social media privacy
how: stay private {x}
case: I share a lot {x}
x: on social media | about my holidays | in a fitness app | with photos of home
- Post [trips after you are back|trips before you leave], because an empty house [draws burglars|bores burglars].
- Limit [who can see it to people you know|what you hide to people you know], and check [the settings often|the likes often].
- Turn off [the place in photos|the lock on photos], which [gives your address away|makes your address safe].

# online shopping
how: check a web shop {x}
case: I found a cheap web shop {x}
x: for shoes | with very low prices | through an ad | for a game console
- Look for [an address and a real phone number|a countdown and a huge discount], and search for [warnings|coupons].
- Pay [by a way that protects buyers|by transfer to a private account], never [in advance to a stranger|by a card that can refund].
- Doubt [prices far below the rest|prices close to the rest], since [fake shops lure with them|fair shops never have them].

# browser extensions
how: choose {x}
case: I want to install {x}
x: a browser extension | a free app | a game from a forum | a video player
- Take it [from the official store|from the first hit], and look at [who made it|how it blinks].
- Read which rights it wants, and refuse [what it does not need|nothing that it asks], such as [contacts for a torch|light for a torch].
- Remove [what you no longer use|what scans for viruses], because [it keeps its access|it slows the fun].

# work laptop
how: use a work laptop {x}
case: I have a work laptop {x}
x: at home | on the train | abroad | in a shared office
- Lock [the screen whenever you get up|the door only when you retire], even [for a minute|for a month].
- Keep [private programs off it|company rules off it], since [they can open a door|they only slow you down].
- Use [the company's tunnel and a screen filter|the open net and a large font] among strangers.

# passwords at work
how: share {x} in a team
case: Our team shares {x}
x: one login | a mail account | a social media page | a server password
- Give [each person an own account|everybody the same account], so that [you see who did what|nobody sees who did what].
- Use [a shared vault|a group chat], and change it [when somebody leaves|when somebody joins for good].
- Take rights away [when they are not needed|when they are needed most], and check the list [each quarter|each century].

# ransom
how: react to {x}
case: I am faced with {x}
x: a locked screen that demands money | encrypted files | a threat by mail | a blocked server
- Pull [the network cable and call for help|the blinds down and pay at once], because [paying brings no guarantee|thieves always keep their word].
- Restore [from a clean backup|from the thief's link], after [the hole is closed|the hole has been widened].
- Report it [to the police|to no police], and keep [the message as evidence|the message as a joke].

# encryption
how: encrypt {x}
case: I carry {x} with private data
x: a laptop | a memory stick | a phone | a camera card
- Turn on [the built-in encryption|the guest account], so that [a thief gets nothing|a finder gets in].
- Keep [the recovery key elsewhere|the recovery key taped to it], because [without it the data are lost|beside it the key is safe].
- Use [well-known methods|a cipher of your own], since [they were tested by many|nobody else has tested it].

# log files
how: log {x} in an app
case: Our app logs {x}
x: user actions | errors | payments | logins
- Leave out [passwords and card numbers|dates and error codes], because [logs are read by many|logs are read by none].
- Delete old logs [on a schedule|by accident], and limit [who can read them|who can delete them].
- Watch them [for odd patterns|for nice patterns], such as [many failed logins|few failed logins].

# dependencies
how: choose a library {x}
case: I want to use a library {x}
x: for parsing | for logins | from a small site | for images
- See [whether it is maintained and by whom|whether its name is short and sweet], and [pin the version|take any version].
- Check [known holes with a tool|the number of stars alone], and update [when one is fixed|when all is quiet].
- Copy [no code that you do not understand|all code that you do not understand], since [you answer for it|others answer for it].

# security hole
how: report a security hole {x}
case: I found a security hole {x}
x: in a library | at my bank | in our school's site | in a smart watch
- Tell [the maker in private first|the crowd in public first], and give [time for a fix|no time for a fix].
- Describe [the steps clearly and take no data|the gains clearly and take all data].
- Look for [a page on how to report|a buyer with a black hat], and keep [your notes|their money].

# code review
how: review code {x}
case: I have to review code {x}
x: that handles payments | by a new colleague | for a login page | that parses uploads
- Check [every input and its limits|every name and its spelling], since [most holes start there|no hole has ever started there].
- Ask for [tests of bad cases|tests of nothing], and run [them yourself|none yourself].
- Take [small changes at a time|a year's changes at a time], because [eyes tire fast|eyes tire never].

# admin account
how: use an admin account {x}
case: I always work as administrator {x}
x: on my PC | on the server | in the shop system | on the family computer
- Work [as a plain user and switch when needed|as the admin and switch off all warnings].
- Give [the admin a password of its own|the admin no password at all], and [two-factor login|a public login].
- Log [who used it and why|who envied it and why], so that [misuse is seen|misuse is free].

# cloud storage
how: share {x} from the cloud
case: I want to share {x} from my cloud
x: a folder | holiday photos | contracts | a budget sheet
- Invite [named people and set an end|the whole world and set no end], instead of [an open link|a closed link].
- Give [reading rights unless more is needed|deleting rights unless less is demanded].
- Look through [old shares now and then|new shares once and never again], and close [what is finished|what is current].

# voice assistant
how: use {x} with care
case: I put up {x}
x: a voice assistant | a smart TV | a video doorbell | a talking toy
- Mute [the microphone when you talk privately|the sound when it asks for consent], and [delete recordings|sell recordings].
- Read [what is sent to the maker|what is said in the advert], and switch off [what you can|no part of it].
- Place it [away from windows and bedrooms|close to windows and bedrooms], since [it hears more than you think|it hears less than you hope].

# online dating
how: stay safe {x}
case: I met somebody {x}
x: through a dating app | in a forum | in a game | on social media
- Meet [in a public place and tell a friend|at their house and tell no friend], at least [the first times|the first years].
- Send [no money, however sad the story|all the money, however odd the story], because [that is a common scam|that is a common courtesy].
- Look up [their photo by reverse search|their charm by gut feeling], since [fake profiles reuse pictures|fake profiles are banned everywhere].

# qr codes
how: use a QR code {x}
case: I scanned a QR code {x}
x: on a parking meter | in a letter | on a poster | at a restaurant
- Look at [the address before you open it|nothing before you open it], and at whether [a sticker covers another|a sticker looks shiny].
- Type [the known address yourself|your card number at once], if [money is asked for|no money is asked for].
- Enter [no password after a scan|each password after a scan], because [fake pages wait there|pages are safe once scanned].

# security questions
how: answer security questions {x}
case: I have to set security questions {x}
x: at my bank | for a mail account | at a new job | for a web shop
- Make up [answers that nobody can look up|answers that everybody can look up], and store [them in the manager|them in your profile].
- Treat them [like a second password|like a friendly chat], since [the true answers are online|the true answers are charming].
- Prefer [an app or a key if offered|the pet's name if offered], as [questions are weak|keys are a passing fad].

# factory reset
how: clean {x} of malware
case: I think there is malware on {x}
x: my laptop | my phone | the reception PC | my father's tablet
- Disconnect it and [run a trusted scanner|carry on with banking], then [reset it if in doubt|ignore it if in doubt].
- Change passwords [from another, clean device|from the same, infected device], mail [and bank first|and bank never].
- Find out [how it came in|how it looks nice], so that [it does not return|it feels at home].

# website login
how: build a login {x}
case: I am building a login {x}
x: for a small shop | for a school project | for our club | for an app
- Store [salted hashes by a known library|plain passwords in a handy table], since [a stolen table is then of little use|a plain table is quick to read].
- Limit [the number of tries|the length of passwords to four], which [stops guessing|speeds up guessing].
- Send everything [over an encrypted link|over an open link], and test [resets as well|nothing at all].

# delivery notice
how: check a delivery notice {x}
case: I got a delivery notice {x}
x: that asks for a fee | by text message | for a parcel I do not expect | with a link
- Enter the number [on the carrier's own page|on the page in the message], instead of [following the link|asking the carrier].
- Pay [no small fee by card there|any small fee by card there], because [the thief wants the card number|thieves only take large fees].
- Delete [it and block the sender|no message and answer the sender], if [you ordered nothing|you are unsure].

# video meetings
how: secure {x}
case: I host {x}
x: video meetings | an online class | a family call | a webinar
- Use [a waiting room and a code|an open room and no code], and send the link [only to guests|to any site].
- Share [one window, not the whole screen|the whole screen, not one window], as [messages pop up|messages amuse].
- Ask before you [record|mute yourself], and store [the file where few can see it|the file where all can see it].

# old accounts
how: deal with old accounts {x}
case: I have many old accounts {x}
x: in web shops | from school days | at forums | with one password
- Close [those you no longer use|those that you use every day], because [every leak exposes them|old ones guard new ones].
- Check [whether your address is in a known leak|whether your friends use the same one], and [change those passwords|keep those passwords].
- Start [with mail, as it resets the rest|with games, as they reset nothing], then go on [to banks|no further].

# testing in production
how: try out {x}
case: I want to try out {x}
x: a script that deletes files | a database change | a new firewall rule | a mass mail
- Run it [on a copy first|on the live system first], with [a dry run by default|no way back by design].
- Have [a backup and a way back|no backup and a good feeling], and [a second pair of eyes|nobody else to look].
- Choose [a quiet hour and log it|the busiest hour and hide it], so that [a fault is found soon|a fault is fun for all].

# keys and locks
how: prevent break-ins {x}
case: I worry about break-ins {x}
x: at the flat | in our shop | in the garden shed | during the holidays
- Lock [doors and windows even for short trips|doors and windows only for long trips], and [leave a light on|leave a door open].
- Keep spare keys [with somebody you trust|under the mat at the door], not [under a pot|with a neighbour].
- Ask [the police for free advice|the first caller for a free visit], and note [serial numbers|nothing at all].
"""
