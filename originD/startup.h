/* startup.h - what a start makes of the files it finds. Pool thread; blocks for as long as the walk takes.
 *
 * Sessions that had ended: the head of session.json is read. Sessions that were live: every track's file is
 * walked box by box, what lies behind its last whole chunk is cut off, and it is open for writing again. A file of these
 * that is damaged is set aside as NAME.mp4.unreadable. A folder without a good session.json is left alone and logged, unless it
 * holds no media; *.removed is removed. Nothing is removed because it could not be read. */
#ifndef ORIGIND_STARTUP_H
#define ORIGIND_STARTUP_H

#include "originD/session.h"

struct startup {
        struct session *sessions; /* linked by next_by_id */
        struct startup_track {
                struct startup_track *next;
                struct session *s;
                struct track *track;
                struct track_found found;
        } *live_tracks; /* walked, to be given to a chunk_log on the loop */
        uint64_t torn_bytes;
        int status; /* ERR_IO: data_dir itself cannot be read; ERR_LIMIT: no descriptors or memory. Much may be missing above */
};

void startup_read(struct startup *out, const char *data_dir);

#endif
