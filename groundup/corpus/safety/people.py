"""People's names and postal addresses, told by what stands around them alone.

No list of names: a name is words with capitals behind a salutation, a title, a form's label, or
under a greeting; an address is a street's word with a number, and the place that follows. So a name
in running prose is not found, and that is said rather than guessed at: recall is that of forms and
letters. Seven languages. Off unless asked for.
"""

import regex

from .patterns import Pattern, Place, pattern, whole

WORD = r"\p{Lu}[\p{L}\p{M}'’]{1,24}+(?:-\p{Lu}[\p{L}\p{M}]{1,24}+)?"
LINK = r"(?:[ ](?:von|van|de|der|den|del|della|di|da|do|dos|du|la|le|el|y|ten|ter|zu|zum|af|bin))"
BEGIN = r"(?:(?:von|van|de|der|den|del|della|di|da|la|le|el|zu|ten|ter)[ ]){0,3}"
PERSON = rf"(?P<it>{BEGIN}{WORD}(?:[ ]\p{{Lu}}\.)?(?:{LINK}{{0,2}}[ ]{WORD}){{0,3}})"
FULL = rf"(?P<it>{WORD}(?:[ ]\p{{Lu}}\.)?(?:{LINK}{{0,2}}[ ]{WORD}){{1,3}})"
TITLE = (
    r"(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|M|Mme|Mlle|Monsieur|Madame|Sr|Sra|Srta|Señora?|Don"
    r"|Doña|Sig|Signora?|Sig\.ra|Dott|Dott\.ssa|Dhr|Mevr|Mevrouw|Meneer|Heer|Panie|Pani|Pana|Pan"
    r"|Senhora?)"
    r"\.?[ ])"
)
GREETING = (
    r"(?i:dear|hi|hello|hey|sehr geehrter?|liebe[rs]?|hallo|guten tag|chère?|bonjour|salut"
    r"|estimad[oa]|querid[oa]|hola|buenos días|gentile|car[oa]|egregi[oa]|ciao|buongiorno|beste"
    r"|geachte"
    r"|prezad[oa]|olá|szanown[ya]|drog[ia]|cześć|dzień dobry)"
)
LABEL = (
    r"(?i:(?:full |first |last |contact |customer |patient |account holder|sur)?name"
    r"|contact(?: person)?"
    r"|employee|applicant|author|signed(?: by)?|(?:vor-?|nach|kunden|familien)name"
    r"|vor- und nachname"
    r"|ansprechpartner(?:in)?|kontoinhaber|(?:mit)?arbeiter(?:in)?|inhaber(?:in)?|unterzeichnet"
    r"|nom(?: complet| et prénom| de famille)?|prénom|titulaire|destinataire|nombre(?: completo)?"
    r"(?: y apellidos)?|apellidos?|titular|persona de contacto|nome(?: e cognome| completo)?"
    r"|cognome"
    r"|intestatario|referente|naam|volledige naam|voornaam|achternaam|contactpersoon"
    r"|imię i nazwisko"
    r"|imię|nazwisko|klient(?:ka)?|cliente?|kunde|kundin|client(?:e)?|paziente|paciente|patiente?)"
)
CLOSING = (
    r"(?i:(?:best |kind |warm )?regards|sincerely(?: yours)?|yours (?:sincerely|faithfully|truly)"
    r"|(?:many )?thanks|cheers|best wishes|best|mit (?:freundlichen|besten|herzlichen) grüßen"
    r"|(?:viele|beste|liebe|freundliche|herzliche) grüße|cordialement|bien à vous"
    r"|salutations distinguées"
    r"|bien cordialement|(?:un )?(?:cordial )?saludos?(?: cordiales)?|atentamente|un abrazo"
    r"|(?:cordiali|distinti) saluti|un saluto|met vriendelijke groet(?:en)?|hoogachtend|groeten"
    r"|atenciosamente|cumprimentos|pozdrawiam|z poważaniem|z wyrazami szacunku)"
)
INTRODUCING = (
    r"(?i:my name is|i am called|this is|mein name ist|ich heiße|ich bin|je m['’]appelle"
    r"|mon nom est"
    r"|me llamo|mi nombre es|mi chiamo|il mio nome è|mijn naam is|ik heet|ik ben|meu nome é"
    r"|chamo-me"
    r"|nazywam się|mam na imię)"
)
NOBODY = frozenset(
    """
    customer customers sir madam team all user users everyone colleague colleagues friend friends
    reader readers developer developers maintainer maintainers world there list kunde kunden
    kundin damen herren leser kollegen kolleginnen freunde team alle client clients utilisateur
    monsieur madame messieurs tous lecteur cliente clientes usuario señores señor señora todos
    equipo amigo lector utente signori signore tutti lettore klant klanten lezer allemaal heer
    mevrouw państwo panie panowie pani pan the this that file name type value string none null
    true false id debian linux gnu ubuntu windows microsoft google apple kde gnome
    """.split()
)
"""What stands where a name might, and is none."""


def person(text: str, match: "regex.Match[str]") -> Place | None:
    """A name, unless its first word is one that greets anybody."""
    start, end = match.span("it")
    first = regex.search(r"\p{Lu}[^ -]*", text[start:end]).group()
    return None if first.lower() in NOBODY or first.isupper() else (start, end)


STREET = (
    r"(?:(?:de|del|della|delle|dei|degli|di|da|do|dos|das|la|las|los|lo|el|le|les|des|du"
    r"|l['’]|d['’])"
    r"[ ]?){0,3}(?=\p{Lu})(?:\p{L}|[ .'’-]){2,40}"
)
TOWN = r"\p{Lu}[\p{L}\p{M}'’-]{1,30}+"
JOINED = r"(?:[ ](?:de|del|la|le|les|am|an[ ]der|di|do|sur|aan|den|ob|im)){0,2}"
CITY = rf"(?:St\.[ ])?{TOWN}(?:{JOINED}[ ]{TOWN}){{0,3}}"
ADDRESSES = (
    # Britain, the United States
    r"(?<![\w.])\d{1,5}[A-Za-z]?[ ](?:[NSEW]\.?[ ])?(?:\p{Lu}[\p{L}'’.-]{1,20}[ ]){1,4}(?:Street"
    r"|St|Avenue|Ave"
    r"|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Square|Terrace|Close|Crescent"
    r"|Gardens"
    r"|Grove|Parkway|Highway|Hill|Row)\b(?:(?<=St|Ave|Rd|Ln|Dr|Blvd|Ct)\.)?"
    r"(?:,?[ ](?:Apt|Suite|Unit|Flat|\#)\.?[ ]?\w{1,6})?"
    rf"(?:,[ \n]?{CITY}(?:,[ ]|[ ]))?(?:(?<=[ ])(?:[A-Z]{{2}}[ ]\d{{5}}(?:-\d{{4}})?"
    rf"|[A-Z]{{1,2}}\d[A-Z\d]?[ ]\d[A-Z]{{2}}))?",
    # Germany, Austria, the Netherlands: the street's word is the name's end
    r"(?<![\w.])(?:\p{Lu}[\p{L}.-]{1,30}[ ]){0,2}\p{Lu}?[\p{L}-]{0,40}(?:straße|strasse|Straße"
    r"|Strasse|str\.|Str\."
    r"|weg|Weg|platz|Platz|allee|Allee|gasse|Gasse|ring|Ring|damm|Damm|ufer|Ufer|straat|laan"
    r"|plein|gracht|kade|dijk"
    r"|singel|dreef|hof|markt)[ ]\d{1,4}[ ]?(?:[a-zA-Z]\b)?(?:[-/]\d{1,4})?"
    rf"(?:(?:,[ ]?|[ ]|\n)(?:[A-Z]{{1,2}}-)?(?:\d{{5}}|\d{{4}}[ ]?[A-Z]{{2}}|\d{{4}})[ ]{CITY})?",
    # France
    r"(?<![\w.])\d{1,4}(?:[ ]?(?:bis|ter))?,?[ ](?i:rue|avenue|av\.|boulevard|bd|place|allée"
    r"|chemin|impasse|quai"
    rf"|route|cours|square|passage)[ ]{STREET}?(?=,|\n|[ ]\d{{5}}|\.|$)(?:(?:,[ ]?|[ ]"
    rf"|\n)\d{{5}}[ ]{CITY})?",
    # Spain, Portugal, Italy, Poland: the street's word, the name, the number
    r"(?<![\w.])(?:Calle|C/|Avenida|Avda?\.|Plaza|Paseo|Carrer|Camino|Ronda|Travesía|Via|Viale"
    r"|V\.le|Piazza"
    r"|P\.za|Corso|Largo|Vicolo|Strada|Rua|Praça|Travessa|Alameda|ul\.|al\.|pl\.|os\.)"
    rf"[ ]?{STREET}?(?:,[ ]?|[ ])(?:n\.?[ºo°]?[ ]?|nº[ ]?"
    rf"|núm\.?[ ]?)?\d{{1,4}}(?:[ ]?[a-zA-Z]\b)?(?:/\d{{1,4}}|[-–]\d{{1,4}})?"
    r"(?:,[ ]?\d{1,2}(?![\d-])[ºª.o°]{0,2}[ ]?(?:[A-Za-z]{1,4}\b)?)?"
    rf"(?:(?:,[ ]?|[ ]|\n|[ ][-–][ ])(?:\d{{2}}-\d{{3}}|\d{{4}}-\d{{3}}|\d{{5}}-\d{{3}}"
    rf"|\d{{5}})[ ]{CITY}(?:[ ]\([A-Z]{{2}}\))?)?",
)

PEOPLE: tuple[Pattern, ...] = (
    *(pattern("address", written, whole) for written in ADDRESSES),
    pattern("name", rf"(?<!\w)(?=\p{{Lu}}){GREETING},?[ ]{TITLE}{{0,3}}+{PERSON}", person),
    pattern("name", rf"(?<![\w.]){TITLE}{{1,3}}+{PERSON}", person),
    pattern("name", rf"(?<!\w){LABEL}[ ]?:[ \t]{{0,4}}{TITLE}{{0,3}}+{PERSON}", person, ":"),
    pattern("name", rf"(?<!\w){INTRODUCING}[ ]{TITLE}{{0,3}}+{FULL}", person),
    pattern(
        "name",
        rf"(?m:^[ \t]{{0,8}}{CLOSING}[,.!]?[ \t]{{0,4}}\n{{1,3}}[ \t]{{0,8}}{TITLE}{{0,3}}+{PERSON}"
        r"(?=[ \t]*(?:\n|$|,)))",
        person,
    ),
)
"""Addresses before names, because streets are named after people."""
