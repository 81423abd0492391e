"""Words that decide whether two questions may be one. English; other languages meet the gates of form only."""

from collections.abc import Mapping
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> Mapping[str, str]:
    return dict(pair.split(":") for pair in text.split())


CONTRACTIONS: Final = {"can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not"} | {
    f"{word}'s": f"{word} is"
    for word in ("what", "who", "where", "when", "how", "why", "that", "there", "it", "he", "she")
}
SUFFIXES: Final = {"n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'d": " would", "'m": " am"}

FUNCTION: Final = _words(
    """a an the is are was were be been being am do does did have has having had will would shall should can could may
    might must i me my mine we us our you your he him his she her they them their it its this that these those there
    here of and or to in on at for with by from as into onto about within inside some also really actually
    exactly just so if what which who whom whose when where why how many much ever does that"""
)
"""Words that carry no content of their own; the gates look at some of them besides."""

NEGATIONS: Final = _words(
    "not no never none neither nor without nobody nothing nowhere hardly barely lacks lack fail fails"
)
EXCLUSIONS: Final = _words("except excluding besides unless only just solely merely apart")
QUANTIFIERS: Final = _words(
    """all every each both either several few half no none always never sometimes usually rarely once twice only entire
    whole one or everyone everybody everything everywhere nobody nothing"""
)
"""How much of something is meant."""

UNITS: Final = _words(
    """second seconds sec minute minutes min hour hours hr day days week weeks month months year years decade decades
    century centuries ms millisecond milliseconds meter meters metre metres m km kilometer kilometers kilometre
    kilometres cm mm inch inches foot feet ft yard yards mile miles mi kg kilogram kilograms g gram grams mg lb lbs
    pound pounds ounce ounces oz ton tons tonne tonnes liter liters litre litres l ml gallon gallons quart pint cup
    cups tablespoon teaspoon celsius fahrenheit kelvin degree degrees percent percentage dollar dollars usd euro euros
    eur pound sterling gbp yen rupee rupees cent cents byte bytes kb mb gb tb kilobyte kilobytes megabyte megabytes
    gigabyte gigabytes terabyte terabytes bit bits hz khz mhz ghz watt watts kw kwh volt volts amp amps joule joules
    calorie calories kcal mph kph knots acre acres hectare hectares bar psi pascal mah dpi fps rpm"""
)

MONTHS: Final = _pairs(
    """january:jan february:feb march:mar april:apr june:jun july:jul august:aug september:sep sept:sep october:oct
    november:nov december:dec jan:jan feb:feb mar:mar apr:apr jun:jun jul:jul aug:aug sep:sep oct:oct nov:nov dec:dec
    monday:mon tuesday:tue wednesday:wed thursday:thu friday:fri saturday:sat sunday:sun"""
)

NUMBER_WORDS: Final = _pairs(
    """zero:0 first:1st two:2 three:3 four:4 five:5 six:6 seven:7 eight:8 nine:9 ten:10 eleven:11 twelve:12 thirteen:13
    fourteen:14 fifteen:15 sixteen:16 seventeen:17 eighteen:18 nineteen:19 twenty:20 thirty:30 forty:40 fifty:50
    sixty:60 seventy:70 eighty:80 ninety:90 hundred:100 thousand:1000 million:1000000 billion:1000000000 dozen:12
    second:2nd third:3rd fourth:4th fifth:5th sixth:6th seventh:7th eighth:8th ninth:9th tenth:10th half:0.5 ii:2
    iii:3 iv:4 vi:6 vii:7 viii:8 ix:9"""
)

ROLES: Final = _words(
    """from to into onto by than before after without against versus over under above below between until since via
    toward towards through during despite about near behind beside along across for with"""
)
"""Prepositions that say which part their object plays."""

LOOSE: Final = _words("of in on at within inside as")
"""Prepositions that may stand for one another: "the rivers of Peru", "the rivers in Peru"."""

JOINING: Final = _words("and or versus vs nor")
"""What joins two things that may stand in either order."""

POINTING: Final = _words("your yours this these those their them they its his her hers him he she")
"""Words that point at something; unless both sides point, they do not ask the same."""

PERSONS: Final = _pairs("i:1 me:1 we:1 us:1 you:2 he:he him:he she:she her:she they:they them:they")
"""Who acts and who suffers it, where both are pronouns: their order tells."""

TENSES: Final = {
    "past": _words("was were had"),
    "future": _words("will shall"),
    "supposed": _words("would"),
    "due": _words("should must ought"),
    "suffered": _words("been being"),
}
"""What moves a question to another time or mood; `can` and `may` do so in yes-or-no questions and negations."""

PAST: Final = _words(
    """did began died happened became went made wrote built took gave won led held said saw thought bought brought
    taught caught lost kept felt met paid ran sent sold spent stood told understood wore spoke chose broke drew drove
    fell flew forgot grew knew rose sang swam threw came got ate fought sought slept hid struck shot found left bore lay
    rang sank shook stole swore tore woke dealt meant built lent bent sat dug hung spun stuck fed bled bred sped fled"""
)
"""What `did` does for a verb, done by the verb itself: "when did it begin", "when it began"."""

ABLE: Final = _words("can could may might")

OPPOSITES: Final = tuple(
    frozenset(pair.split("/"))
    for pair in [
        "more/less",
        "more/fewer",
        "most/least",
        "higher/lower",
        "high/low",
        "larger/smaller",
        "bigger/smaller",
        "biggest/smallest",
        "large/small",
        "big/small",
        "longer/shorter",
        "long/short",
        "longest/shortest",
        "taller/shorter",
        "tall/short",
        "tallest/shortest",
        "older/younger",
        "old/young",
        "oldest/youngest",
        "oldest/newest",
        "old/new",
        "older/newer",
        "earlier/later",
        "early/late",
        "earliest/latest",
        "faster/slower",
        "fast/slow",
        "fastest/slowest",
        "cheaper/dearer",
        "cheap/expensive",
        "cheapest/dearest",
        "better/worse",
        "best/worst",
        "good/bad",
        "maximum/minimum",
        "max/min",
        "highest/lowest",
        "first/last",
        "before/after",
        "above/below",
        "over/under",
        "since/until",
        "increase/decrease",
        "rise/fall",
        "raise/lower",
        "gain/lose",
        "win/lose",
        "up/down",
        "upward/downward",
        "forward/backward",
        "left/right",
        "top/bottom",
        "north/south",
        "east/west",
        "northern/southern",
        "eastern/western",
        "enable/disable",
        "start/stop",
        "begin/end",
        "open/close",
        "add/remove",
        "add/subtract",
        "install/uninstall",
        "purchase/sell",
        "import/export",
        "send/receive",
        "lend/borrow",
        "encrypt/decrypt",
        "lock/unlock",
        "login/logout",
        "upload/download",
        "push/pull",
        "accept/reject",
        "accept/refuse",
        "allow/deny",
        "allow/forbid",
        "grant/revoke",
        "include/exclude",
        "connect/disconnect",
        "activate/deactivate",
        "attach/detach",
        "hot/cold",
        "warm/cool",
        "pro/con",
        "advantage/disadvantage",
        "benefit/risk",
        "benefit/drawback",
        "advantage/drawback",
        "profit/loss",
        "income/expense",
        "input/output",
        "positive/negative",
        "true/false",
        "legal/illegal",
        "safe/unsafe",
        "safe/dangerous",
        "possible/impossible",
        "male/female",
        "man/woman",
        "boy/girl",
        "husband/wife",
        "mother/father",
        "son/daughter",
        "brother/sister",
        "king/queen",
        "parent/kid",
        "teacher/student",
        "employer/employee",
        "landlord/tenant",
        "buyer/seller",
        "doctor/patient",
        "lender/borrower",
        "sender/receiver",
        "upstream/downstream",
        "ascend/descend",
        "even/odd",
        "major/minor",
        "internal/external",
        "inner/outer",
        "public/private",
        "active/passive",
        "active/inactive",
        "full/empty",
        "hard/soft",
        "hard/easy",
        "difficult/easy",
        "strong/weak",
        "happy/sad",
        "rich/poor",
        "wet/dry",
        "black/white",
        "day/night",
        "am/pm",
        "morning/even",
        "symmetric/asymmetric",
        "deposit/withdraw",
        "credit/debit",
        "paid/unpaid",
        "used/unused",
        "known/unknown",
        "equal/unequal",
        "same/different",
        "similar/different",
        "cause/effect",
        "cause/symptom",
        "cause/prevent",
        "cause/treat",
        "symptom/treat",
        "question/answer",
        "encode/decode",
        "compress/decompress",
        "inhale/exhale",
        "attack/defend",
        "attack/defense",
        "guilty/innocent",
        "dead/alive",
        "die/live",
        "birth/death",
        "winner/loser",
        "ally/enemy",
        "predecessor/successor",
        "host/guest",
        "client/server",
        "read/write",
        "serial/parallel",
        "vertical/horizontal",
        "width/height",
        "length/width",
        "depth/height",
        "ancient/modern",
        "domestic/foreign",
        "natural/artificial",
        "temporary/permanent",
        "mandatory/optional",
        "required/optional",
        "present/absent",
        "visible/invisible",
        "legal/unlawful",
        "healthy/unhealthy",
        "my/your",
        "his/her",
        "he/she",
        "him/her",
        "our/their",
        "regular/irregular",
        "direct/indirect",
        "complete/incomplete",
        "correct/incorrect",
        "correct/wrong",
        "right/wrong",
        "approve/reject",
        "arrive/depart",
        "arrival/departure",
        "enter/exit",
        "enter/leave",
        "entrance/exit",
        "asset/liability",
        "supply/demand",
    ]
)
"""Words that cannot stand for one another, as stems; one for the other turns a question around."""

SAME: Final = _pairs(
    """usa:us* america:us* u.s:us* u.s.a:us* uk:britain u.k:britain tv:television phone:telephone cellphone:telephone
    smartphone:telephone photo:picture photograph:picture image:picture pic:picture movie:film commence:begin
    start:begin initiate:begin finish:end conclude:end terminate:end buy:purchase obtain:get acquire:get large:big
    huge:big greatest:biggest largest:biggest larger:bigger tiny:small little:small quick:fast rapid:fast quickly:fast
    rapidly:fast quickest:fastest child:kid children:kid kids:kid men:man women:woman mice:mouse feet:foot teeth:tooth
    people:person employment:job occupation:job car:automobile cars:automobile doctor:physician repair:fix mend:fix
    delete:remove erase:remove error:fault shut:close wedding:marriage easily:easy simple:easy simplest:easiest
    method:way methods:way ways:way died:die dies:die dead:die death:die begun:begin began:begin happen:occur
    happened:occur happens:occur became:become went:go gone:go goes:go made:make making:make makes:make wrote:write
    written:write built:build building:build took:take taken:take gave:give given:give won:win winning:win led:lead
    held:hold said:say saw:see seen:see thought:think bought:purchase brought:bring taught:teach caught:catch
    lost:lose kept:keep felt:feel met:meet paid:pay ran:run sent:send sold:sell spent:spend stood:stand told:tell
    understood:understand wore:wear spoke:speak spoken:speak chose:choose chosen:choose broke:break broken:break
    drew:draw drawn:draw drove:drive driven:drive fell:fall fallen:fall flew:fly flown:fly forgot:forget
    forgotten:forget grew:grow grown:grow knew:know known:know rose:rise risen:rise sang:sing sung:sing swam:swim
    threw:throw thrown:throw came:come got:get gotten:get ate:eat eaten:eat did:do done:do fought:fight sought:seek
    slept:sleep hid:hide hidden:hide struck:strike shot:shoot analyses:analysis criteria:criterion
    phenomena:phenomenon cities:city countries:country companies:company"""
)
"""Words that mean the same in a question, irregular forms among them, by one of them."""
