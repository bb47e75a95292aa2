HEADERS = [("From", "Benedikta Sørlund <b.sorlund@kontrapunkt-trykk.example>"),
           ("To", "Festival office <office@fjordchoirs.example>"),
           ("Cc", "Håvard Myklebust <havard@fjordchoirs.example>"),
           ("Subject", "Programme book – quotation and a few questions"),
           ("Date", "Thu, 02 Mar 2023 14:37:09 +0100"),
           ("Message-ID", "<20230302133709.4411@kontrapunkt-trykk.example>")]
TEXT = """Dear Marit, dear Håvard,

thank you for coming by on Tuesday, and for the waffles. Here is what we can offer for the programme book of the choir festival, now that we know it will have more pages than last year.

We would print on the same uncoated paper as before, 115 grams, with a cover of 250 grams from the mill at Skotfoss. Inside everything is in two colours, black and the green of your poster; the cover is in four. The book is sewn, not glued, because the singers lay it flat on the music stand and a glued one breaks in the first rehearsal. For 2,200 copies with 96 pages the price is 61,900 kroner, without value added tax but with delivery to the concert hall. Another hundred copies ordered at the same time would come to about 1,400 kroner.

Proofs: we send you a PDF first and then one sewn dummy by courier. Please read the dummy on paper. Last time the Estonian choir was in the PDF and nowhere in the book, and nobody had seen it.

We need your files by 12 April at the latest. The paper has to be ordered before that, so tell us the number of pages by the end of March, even if the texts of the Latvians are not translated yet. Pages must be a multiple of sixteen – eighty would do, too, and would save you some money.

The photographs you left on the stick are fine with two exceptions. The picture of the cathedral is too small for a double page. And the one of the children's choir has no photographer's name; we do not print without a name.

Tickets and wristbands are not our trade, but our neighbours at Lunde Etiketter do them well. Ask for Torgeir and say that I sent you.

We are closed in the week before Easter. In urgent cases the workshop telephone is answered by whoever is nearest to it.

Kind regards from the river,

Benedikta Sørlund
Kontrapunkt Trykk, Møllegata 4
"""
