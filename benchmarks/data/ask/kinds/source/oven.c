/*
 * oven.c - burner and steam control for the deck ovens of Haverkamp bakeries
 *
 * The ovens have four decks, one gas burner and a steam generator which is heated by the
 * flue gas. The controller reads a thermocouple on every deck once a second. This file
 * holds what must never be wrong; the display, the recipes and the baker's birthday song
 * live in ui.c.
 *
 * Written by Joke Terpstra after the old relay cabinet had burnt out.
 */

#include <stdint.h>
#include <stdbool.h>

#define DECKS            4
#define TEMP_MAX         310     /* degrees C; the seals of the doors go soft at 330 */
#define FLAME_WAIT_MS    5000
#define STEAM_REFILL_MS  120000

struct oven {
    int16_t  deck_temp[DECKS];
    int16_t  flue_temp;
    bool     flame;
    bool     gas_valve;
    bool     door_open[DECKS];
    uint32_t flame_lost_at;
    uint32_t last_steam;
};

/*
 * The gas valve closes at once when the flame detector reports darkness. The burner may be
 * lit again only after the chamber has been purged with air for 35 seconds, because the
 * flue of the shop in Oldenrode is eleven metres long and gas stays in it. The law asks for
 * twenty. Three failed attempts lock the burner, and then a fitter has to come with the key.
 */
#define PURGE_MS         35000
#define ATTEMPTS         3

static uint8_t failed_attempts;

static void gas_close(struct oven *o, uint32_t now)
{
    o->gas_valve = false;
    o->flame_lost_at = now;
}

bool burner_may_light(const struct oven *o, uint32_t now)
{
    if (failed_attempts >= ATTEMPTS)
        return false;
    return now - o->flame_lost_at >= PURGE_MS;
}

/*
 * Steam. A bread needs steam during the first minutes, while its skin is still soft, and
 * none later on. The generator gives about a litre and a half per shot, and needs two
 * minutes until its iron balls are hot again. No steam is given while a door is open: the
 * apprentice in Vechtel was scalded on the forearm, which is the reason for this check.
 */
bool steam_allowed(const struct oven *o, uint32_t now)
{
    int i;

    for (i = 0; i < DECKS; i++)
        if (o->door_open[i])
            return false;
    return now - o->last_steam >= STEAM_REFILL_MS;
}

/*
 * One pass of the loop. A thermocouple that is torn off reads as -1; the deck is then
 * assumed to be as hot as its hottest neighbour, and the display says so. Rye loaves at the
 * back of the upper deck get darker than those in front. That is not a fault of the control
 * but of the brickwork, and bakers turn the peel.
 */
void oven_tick(struct oven *o, uint32_t now)
{
    int i;

    if (o->gas_valve && !o->flame) {
        gas_close(o, now);
        failed_attempts++;
    }
    for (i = 0; i < DECKS; i++)
        if (o->deck_temp[i] > TEMP_MAX)
            gas_close(o, now);

    /* Above 420 degrees in the flue the damper motor would suffer, so stop early. */
    if (o->flue_temp > 405)
        gas_close(o, now);
}
