MAILS = [
("Dafydd Orme <dafydd@radiocroft.example>", "Mon, 06 May 2019 19:04:11 +0100", "<a1@radiocroft.example>", None,
 "Mast inspection on Saturday", """Hello all,

the rigger is coming on Saturday at nine to look at the mast on Croft Hill. We shall
be off the air from about half past nine until he is down again. I would like two
people at the gate, since there is the fell race and the runners always think that our
van marks the finish.

He will check the stays, paint the lower section and move the link dish by half a
metre. Last time he found that the second stay was being chewed by sheep, so we have
put a collar round it.

Dafydd
"""),
("Perpetua Lund <perpetua@radiocroft.example>", "Tue, 07 May 2019 08:22:40 +0100", "<a2@radiocroft.example>", "<a1@radiocroft.example>",
 "Re: Mast inspection on Saturday", """On 6 May Dafydd wrote:
> I would like two people at the gate

I can be there with my sister. What do we say to listeners? Last year somebody rang
the police because we had gone silent. I suggest an announcement at the top of each
hour from Thursday, and that we go on streaming as usual; the stream does not need the
mast at all.

Also: the licence says that an interruption of more than 24 hours has to be reported
to the regulator. We are nowhere near that, but please come down in time, everyone.

Perpetua
"""),
("Gus Attwater <gus@radiocroft.example>", "Tue, 07 May 2019 21:55:03 +0100", "<a3@radiocroft.example>", None,
 "New mixing desk: what we have and what it costs", """Dear radio people,

the old desk is dying. Faders four and six crackle, and the talkback only works if you
press the scribble strip with your thumb. I have looked at three desks:

 - a second-hand broadcast desk from the student station in Marlborough, twelve
   channels, 1,850 pounds, and they would throw in the spare power supply;
 - a new digital one for 3,200 pounds, which needs a computer that starts without
   moaning;
 - a mixer for bands at 600 pounds, which I mention in order to be complete.

I favour the first. From the grant of the arts council we still have 1,300 pounds, and
the jumble sale should give us the rest. Could we decide at the meeting?

Gus
"""),
("Ottoline Frayne <ottoline@radiocroft.example>", "Thu, 09 May 2019 12:10:27 +0100", "<a4@radiocroft.example>", None,
 "Schedule for the summer", """Friends,

from the first of June the schedule changes a little. The breakfast programme starts at
seven instead of half past six, since none of us is any good at half past six. The
gardening hour moves to Wednesday. "Songs my grandmother knew" gets a second hour, and
Mr Beddoes is delighted.

New volunteers have to do four accompanied shows before they go on air alone. I know
that this is more than it used to be. It is because of the evening when the news was
read backwards.

The studio has to be left as you would like to find it. Mugs!

Ottoline
"""),
("Dafydd Orme <dafydd@radiocroft.example>", "Sun, 12 May 2019 17:31:56 +0100", "<a5@radiocroft.example>", "<a2@radiocroft.example>",
 "Re: Mast inspection on Saturday", """Hello all,

done. We were off for three hours and ten minutes. The stays are sound, the red lamp
on top has been changed, and the dish now looks straight at the studio instead of at
the brewery. Signal at the studio end is up by 5 decibels.

From now on the rigger wants to come every eighteen months rather than every two years,
as the salt gets into the turnbuckles. His bill is 740 pounds, of which the telephone
company, whose antenna hangs below ours, pays half.

One runner did finish at our van. Perpetua's sister gave him a banana.

Dafydd
"""),
]
