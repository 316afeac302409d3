/* startup.h - what a start makes of the files it finds. Pool thread; blocks, and reads with several threads of its own.
 *
 * Sessions that had ended: the head of session.json is read. Sessions that were live: what is in each track's folder is
 * found, and its last volume opened for writing again (volumes.h). Nothing is removed because it could not be read: a
 * session or a track of which that cannot be told now is kept as such, to be tried again. A folder without a good
 * session.json is left alone and logged, unless nothing is in it; NAME.removed is for the caller to remove.
 *
 * What is found can be taken while the rest is read, by startup_take() on the loop: the newest sessions are looked at first, so
 * those that are live are among the first that are known. */
#ifndef ORIGIND_STARTUP_H
#define ORIGIND_STARTUP_H

#include <pthread.h>

#include "originD/session.h"

#define STARTUP_THREADS 4

/* A folder below data_dir: a session's. */
struct startup_folder {
        struct startup_folder *next;
        const char *name; /* in path */
        char path[];      /* data_dir/STREAM/NAME; a start has one for each recording, so it is no longer than it must be */
};
#define STARTUP_NAME_MAX (SESSION_ID_MAX + 15)

struct startup {
        pthread_mutex_t lock; /* guards all of it while it is read */
        struct session **sessions;
        size_t count, cap;
        struct startup_track {
                struct startup_track *next;
                struct session *s;
                struct track *track;
                struct track_found found;
        } *live_tracks;                     /* to be given to a chunk_log on the loop */
        struct startup_folder *unreadable;  /* sessions that cannot be read now */
        struct startup_folder *removed;     /* their removal was begun */
        uint64_t torn_bytes;
        int64_t newest_wall_us; /* of what the sessions say: no clock was behind that */
        int status; /* ERR_IO: data_dir itself cannot be read; ERR_LIMIT: no descriptors or memory. Much may be missing above */
};

#define STARTUP_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

void startup_read(struct startup *out, const char *data_dir);
void startup_take(struct startup *from, struct startup *to); /* sessions, the newest first, and their live_tracks; to has none */

/* The same of one folder, which the caller had in `unreadable`: it is there again if it still cannot be read. Takes folder. */
void startup_read_again(struct startup *out, struct startup_folder *folder);

#endif
