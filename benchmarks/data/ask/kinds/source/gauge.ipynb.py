CELLS = [
("markdown", """# Rating curve for the gauge at Stannery Bridge

River Calder Water, catchment office in Ellerby. Notebook by Tamsin Okoro, second version.

The gauge at Stannery Bridge has recorded the water level every quarter of an hour since 1991. What people ask for is the discharge, so that we need a relation between the two. The old curve dates from before the flood that moved the gravel bar. This notebook fits a new one to the measurements made since then, and says how far it may be trusted."""),
("code", """import csv, math

measurements = [  # level in m, discharge in m3/s, method
    (0.31, 1.9, "current meter"), (0.44, 3.6, "current meter"), (0.58, 6.1, "current meter"),
    (0.77, 10.4, "salt dilution"), (0.95, 15.2, "boat"), (1.22, 24.9, "boat"),
    (1.60, 41.7, "boat"), (2.05, 66.0, "boat"), (2.48, 94.3, "boat from the bridge"),
]
print(len(measurements), "measurements")""", "9 measurements\n"),
("markdown", """## Which measurements were left out

Two measurements of the wet January were thrown away because a tree had lodged against the pier. The dilution gaugings agree with the current meter to within four per cent, which is better than we had feared. Weed grows in the channel from June on and lifts the level by up to nine centimetres for the same discharge; measurements made during that time are corrected with the method in the office manual, chapter 5.

The datum of the staff was levelled again from the bench mark on the chapel. It had sunk by 12 millimetres, and all levels in this notebook refer to the new datum."""),
("code", """def fit(h0):
    xs = [math.log(h - h0) for h, q, m in measurements]
    ys = [math.log(q) for h, q, m in measurements]
    n = len(xs); mx = sum(xs) / n; my = sum(ys) / n
    b = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)
    return math.exp(my - b * mx), b

a, b = fit(0.0)
print(f"Q = {a:.2f} * h ** {b:.2f}")""", "Q = 16.96 * h ** 1.89\n"),
("markdown", """## How far up does it hold?

The banks are overtopped on the left side, at the sheep wash, when the level reaches 2.7 metres. Above that some of the water goes round the gauge through the fields and is not seen by it at all. **Do not use the curve beyond 2.9 metres.** For larger floods the slope-area estimate made by the university after the December storm is the best there is: about 240 cubic metres per second at the peak, give or take a fifth.

At the low end things are better. The V-notch that was cut into the weir for the fish pass makes the gauge sensitive, and a change of a centimetre in the level is about 0.1 cubic metres per second."""),
("code", """for h in (0.3, 0.5, 1.0, 2.0):
    print(h, round(a * h ** b, 1))""", "0.3 1.7\n0.5 4.6\n1.0 17.0\n2.0 62.8\n"),
("markdown", """## Telemetry

The logger sends its values by mobile phone at five past every hour. When the battery is under 11.6 volts it sends only twice a day. Three times last winter nothing came at all: the antenna had been turned by a heron which has chosen it as a perch. The spare logger is in the cupboard at Ellerby with a label saying *Stannery*.

## To do

- Measure again after the next flood, as the bar will move.
- Ask the farmer, Mr Threlfall, whether we may cut the alder in front of the radar sensor.
- Move the flood warning threshold, which still refers to the old datum."""),
]
