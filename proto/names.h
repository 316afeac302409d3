/* names.h - which streams, sessions and tracks a tier has, told to the tier below: so that an edge knows what there is without asking for
 * it, and asks for nothing else. FETCH of /names/INSTANCE/CHANGE, never by HTTP.
 *
 * A tier numbers its changes from 1 on, anew whenever it starts (INSTANCE is the number of that start). The answer is one page, bytes of
 * no content type: those sessions that changed behind CHANGE in the order in which they did, the change to ask from next, and whether
 * there is more. With nothing new the tier waits as long as the question allows, and then says ERR_NOT_YET. /names/0/0 asks from the
 * beginning.
 *
 * Names are told as hashes of 64 bits: 100,000 recordings are 2 MB once, and some bytes for each that begins, ends or goes. Two names
 * with one hash are no harm: what passes for a name that there is gets asked for, within the bounds of edged/addresses.h.
 *
 * A name that went is told once. Who asks from before the last NAMES_GONE of them is told all anew. Pure; any thread. */
#ifndef PROTO_NAMES_H
#define PROTO_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"
#include "proto/store.h"

#define NAMES_PAGE 4000 /* rows: with all the tracks that there can be less than BODY_MAX */
#define NAMES_GONE 1024 /* names that went and are remembered */

struct names_row {
        uint64_t session, stream; /* names_session(), names_stream(); of one that went stream is 0 */
        bool gone, live;
        uint32_t first, last;                /* segments: before the first there are none; of a live session the last was its live edge */
        uint8_t track_count;                 /* 0: its tracks are not known */
        uint64_t tracks[SESSION_TRACKS_MAX]; /* names_track() */
};

/* A page: its head, and rows until there is none left. */
struct names_page {
        uint64_t instance, next;
        bool anew;    /* from the beginning: what was told before and is not told again by the last page, and that not partial, is gone */
        bool more;
        bool partial; /* the tier does not know yet all that it has: a name that it does not tell may be there */
};

#define NAMES_HEAD_BYTES 17
#define NAMES_ROW_MAX_BYTES (26 + 8 * SESSION_TRACKS_MAX)

uint64_t names_stream(const char *stream);
uint64_t names_session(const char *stream, const char *session);
uint64_t names_track(const char *track);

void names_write_page(struct writer *w, const struct names_page *p);
void names_write_row(struct writer *w, const struct names_row *row);

/* The head, then rows while reader_left() says so. Not 0: ERR_PROTO. */
int names_read_page(struct reader *r, struct names_page *p);
int names_read_row(struct reader *r, struct names_row *row);

/* What went, for who keeps a list: the last NAMES_GONE of them, oldest first from `from` on. */
struct names_gone {
        uint64_t count; /* ever */
        struct {
                uint64_t change, session;
        } at[NAMES_GONE];
};
void names_went(struct names_gone *g, uint64_t change, uint64_t session);
/* The index of the first that went behind change, to be taken modulo NAMES_GONE, up to g->count. false: older ones are forgotten. */
bool names_gone_behind(const struct names_gone *g, uint64_t change, uint64_t *index);

#endif
