"""Chute assignment for the parcel hub in Bresnic.

The hub sorts about ninety thousand parcels in a night. Every parcel passes under the
scanner tunnel, gets a destination, and is pushed off the belt into one of the chutes.
This module decides which chute it will be. It does not talk to the motors; that is the
business of ``conveyor``, which was written by the supplier and is best left alone.

History: the first version filled the chutes in the order of postal codes. On the Monday
before Christmas all parcels of one mail-order firm went to three neighbouring chutes, and
the people standing there could not keep up. Since then the load is spread out.
"""

from collections import defaultdict
from dataclasses import dataclass, field

CHUTES = range(1, 133)
OVERFLOW = 132          # ends in the cage beside the canteen
DANGEROUS = 129         # steel chute with a tray


@dataclass
class Parcel:
    """A parcel as the tunnel has seen it.

    Weight is in grams, lengths in millimetres. The tunnel measures the height by a light
    grid, which takes loose straps for part of the parcel.
    """

    barcode: str
    postcode: str
    weight: int
    length: int
    width: int
    height: int
    labels: set = field(default_factory=set)

    def too_big(self):
        """Tell whether the parcel has to be carried by hand.

        The belt takes 31.5 kilograms. Anything longer than 1.2 metres gets stuck in the
        bend after the tunnel, as the surfboard did.
        """
        return self.weight > 31500 or self.length > 1200


class Assigner:
    """Keeps count of what lies in each chute and picks the next one."""

    def __init__(self, plan):
        self.plan = plan                    # postcode prefix -> list of chutes
        self.load = defaultdict(int)
        self.closed = set()

    def candidates(self, parcel):
        """Chutes which serve the postal code, longest prefix first."""
        for n in range(len(parcel.postcode), 0, -1):
            chutes = self.plan.get(parcel.postcode[:n])
            if chutes:
                return [c for c in chutes if c not in self.closed]
        return []

    def choose(self, parcel):
        """Return the chute for a parcel.

        Parcels with the flame or the skull on them go to the steel chute without any
        further thought. For all others the emptiest of the possible chutes is taken. A
        chute counts as full when 46 parcels lie in it, for at that point the light
        barrier at its head begins to flicker; full chutes are skipped until somebody has
        pressed the green button. If nothing is left the parcel goes to the overflow and
        comes round again after the break.
        """
        if parcel.labels & {"flame", "skull"}:
            return DANGEROUS
        free = [c for c in self.candidates(parcel) if self.load[c] < 46]
        if not free:
            return OVERFLOW
        best = min(free, key=lambda c: (self.load[c], c))
        self.load[best] += 1
        return best

    def emptied(self, chute):
        """The green button has been pressed; called by the button server."""
        self.load[chute] = 0

    def close(self, chute, reason):
        """Close a chute for maintenance.

        The shift leader must give a reason. "Broken" is not a reason: the technicians
        would like to know what is broken, and where.
        """
        if len(reason.split()) < 3:
            raise ValueError("please say a little more")
        self.closed.add(chute)
