/* players.h - what players' reports (cmcd.h) add up to: counts and histograms of all of them, whose players and streams they are is not
 * kept.
 *
 * Whoever can ask for a segment can report what he likes: values are bounded, label sets are fixed, and only reports that come with an
 * answered request for media, or for a stream that the sender may watch, are counted. Any thread. */
#ifndef EDGED_PLAYERS_H
#define EDGED_PLAYERS_H

#include "edged/cmcd.h"

#define PLAYERS_WAYS(X) X(QUERY, "query") X(FIELDS, "headers") X(EVENT, "event")

enum players_way {
#define X(word, text) PLAYERS_##word,
        PLAYERS_WAYS(X)
#undef X
};

void players_register(void);
void players_take(const struct cmcd_report *r, enum players_way way);
void players_broken(enum players_way way);

#endif
