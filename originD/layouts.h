/* layouts.h - how recordings lie in their one file (recording.h): each one's header, and where the part of each volume begins. That takes
 * a look at the head of every chunk, so a layout is made once, a volume at a time on the pool, and kept while it is of use. That of a
 * track on demand (ondemand.h) takes a look at the indexes only.
 *
 *   layouts_get()  SEGMENT_HERE: *out, valid until the loop goes on
 *                  SEGMENT_LOADING: it is being made. Whenever a volume more was looked at, and at the end, changed() tells: ask again,
 *                  or it goes no further
 *                  SEGMENT_UNREAD: files have to be read for it, and may_read says that it is not whoever asks' turn
 *                  SEGMENT_BUSY: too much is being read. *out NULL: as many as may be are being made, or they take the room for the next
 *                  step of this one: ask again when `freed` has moved
 *                  SEGMENT_UNREADABLE: something cannot be read. Unless *out is NULL out->failed says what; ERR_LIMIT: it is too long for
 *                  one file
 *                  SEGMENT_NONE: there is nothing to make it of; SEGMENT_LACKING: not now. Of a session that is live there are clips,
 *                  whose end is stored (recording_stored_s())
 *   layouts_stop() nothing more is begun;  layouts_close()
 *
 * Of a volume that an older version of this program left to the archive alone no heads were kept: its file is brought back, one volume at
 * a time and once, for the archiver keeps them when it goes again.
 *
 * LAYOUTS_MAX at a time, of which LAYOUTS_MAKING_MAX are being made, and all of them take LAYOUTS_BYTES_MAX: those that are kept, and those
 * that are being made, which count with what they may take until the volume is over that is looked at. When there is no room for that,
 * what was unused longest goes first. Then, of those that are being made, the one that began last waits or is made anew later; one that
 * nobody has asked for in LAYOUTS_ASKED_US gives way to any. A day is 13 MB, of the 36 MB that its header has in the file, made in 2.3 s
 * where the heads are in memory; the largest takes TABLES_MAX_BYTES a track, and is made when nothing else is. Beside that each step has
 * in memory, of a volume whose media is in the archive, the heads: a third of a percent of these, HEADS_MAX_BYTES at most.
 * A layout belongs to the volumes as they were: of others (recording_facts()) another one is made. That of a clip of what is live is made
 * anew when a volume of it is closed, and is the same file all the same: who reads it goes on. Loop thread. */
#ifndef ORIGIND_LAYOUTS_H
#define ORIGIND_LAYOUTS_H

#include "common/clock.h"
#include "originD/recording_tracks.h"

#define LAYOUTS_MAX 64 /* of clips, mostly: each who reads one asks for its layout with each piece */
#define LAYOUTS_MAKING_MAX 3
#define LAYOUTS_BYTES_MAX (96u << 20)
#define LAYOUTS_ASKED_US (5 * US_PER_S)

struct layout_volume {
        uint32_t number;
        uint64_t begin; /* of its part in the file */
};

struct layout {
        char session[SESSION_ID_MAX + 1];
        struct recording_wish wish;
        uint64_t facts;
        uint64_t version, change; /* of the session, when facts were right last */
        /* When it is made: */
        uint64_t identity;
        struct recording_header header; /* boxes NULL: it is not made, or failed */
        struct sample_tables *tables; /* of RECORDING_TRACKS_MAX, that it is made of */
        uint64_t size; /* of the file */
        struct layout_volume *volumes; /* rising */
        size_t volume_count;
        int failed; /* ERR_*: it could not be made, and is not tried again before again_us */
        int64_t again_us;
        /* layouts.c's */
        struct layout_making *making; /* NULL: it is made, or failed */
        int64_t used_us; /* asked for last */
        bool taken;
};

struct layouts {
        uv_loop_t *loop;
        struct layout all[LAYOUTS_MAX];
        struct layout_making *leaving; /* nobody wants them, and a job of theirs is under way */
        uint64_t begun;
        uint64_t freed; /* moves with each that is not made any more, or takes less */
        size_t most_bytes; /* LAYOUTS_BYTES_MAX, but in tests */
        bool stopping;
        void (*changed)(void *arg, struct session *s);
        void *arg;
};

void layouts_open(struct layouts *ls, uv_loop_t *loop, void (*changed)(void *arg, struct session *s), void *arg);
enum segment_state layouts_get(struct layouts *ls, struct session *s, const struct recording_wish *w, bool may_read, struct layout **out);
size_t layouts_bytes(const struct layouts *ls); /* that all of them take, or may take by the end of their jobs */
void layouts_stop(struct layouts *ls);
void layouts_close(struct layouts *ls); /* what is being made frees itself when its job is over */

#endif
