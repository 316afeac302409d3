/* discards.h - what the archive has of recordings that are gone, or of their volumes that retention removed while they were live, goes as
 * well.
 *
 *   discards_open → discards_link → discards_stop → when discards_idle() discards_close
 *   discards_note()      a recording is about to be removed here. After a crash in the midst of that nothing else may be left to say so
 *   discards_add()       it was removed here, or volumes of it were, and may have objects there
 *
 * Owners share the objects, and may remove a recording, or a volume, at different times: by age, by policies that differ, or since one of
 * their disks is full. So once it is gone here the others are asked for it (/peer/session/…): who still has it sees to the objects when
 * its own copy goes. Of one that is here without its first volumes the objects before the first volume that anybody keeps go. Each asks
 * after its own copy went, so the last one finds nobody; while one that was seen is away, nothing is removed. What waits is a note, a
 * file in DATA_DIR/.archive/, so that a start goes on with it. One at a time. Loop thread only, but for discards_note(). */
#ifndef ORIGIND_ARCHIVE_DISCARDS_H
#define ORIGIND_ARCHIVE_DISCARDS_H

#include "originD/archive/archive.h"
#include "originD/replica/peer_link.h"
#include "originD/store.h"

#define DISCARDS_AGAIN_US (30 * US_PER_S) /* after one that could not be done now */

struct discards;

struct discards_options {
        struct store *store; /* outlives it; has all that is here by now */
        bool peers;           /* there are others: without hearing of one nothing is removed */
        int64_t again_us;     /* 0: DISCARDS_AGAIN_US */
};

void discards_open(struct discards **out, uv_loop_t *loop, struct archive *archive, const struct discards_options *options);
void discards_link(struct discards *r, struct peer_link *link);
void discards_note(const char *data_dir, const char *stream, const char *session); /* blocks; any thread */
void discards_add(struct discards *r, const char *stream, const char *session);
void discards_sending(struct discards *r, const char *session); /* something of it is on its way to the archive: it waits; "": nothing is */
void discards_tick(struct discards *r); /* some times a second */
void discards_stop(struct discards *r); /* before the archive and the link are closed */
bool discards_idle(const struct discards *r);
void discards_close(struct discards *r); /* idle */

#endif
