/* archive.h - closed volumes go to an object store, and what is read of them comes back from there. Off unless configured.
 *
 *   archive_open()   →  archive_put/read/fetch/remove: each calls its done() once, later, never from inside the call
 *   archive_close()  nothing more is taken; what is under way is cut off within about a second and told ERR_CANCELED;
 *                    then closed(), and it is gone
 *
 * A volume, for the one who keeps its state (a row of the track's volumes):
 *
 *   here                --archive_put()-->  on its way       may be read locally, must not be unlinked
 *   on its way          --done(0)------->   here, archived   may be unlinked: the store has all of it, checked
 *   on its way          --done(err)----->   here             offer it again: at once after ERR_FULL's cause is over, else later
 *   here, archived      --unlink-------->   archived         archive_read() from now on
 *   archived            --archive_fetch()--> here, archived  who cuts a track back needs the file
 *   archived            --archive_remove()--> gone           when retention says so
 *
 * Two owners of a stream put the same objects, as their closed volumes are the same bytes: the second one finds the first
 * one's and sends nothing. One that is there with another checksum than its name says is left as it is: ERR_CONFLICT, and a person is to
 * look.
 *
 * Loop thread only. The network and the files are the business of threads of its own: ARCHIVE_PUTTERS for puts, fetches
 * and removals, ARCHIVE_READERS for reads, so that nobody waits for an upload who wants to watch; neither take a thread of the disk's
 * pools, which a slow store would hold for minutes. What does not get a thread at once waits in a queue; a full queue is
 * ERR_FULL at once, and done() is not called.
 *
 * What may go away by itself is tried again here, after a pause that doubles and has jitter; the rest fails at once. Errors
 * are those of s3.h; words has them for a person, without keys. The first failure and the first success after it are logged
 * here, nothing between. */
#ifndef ORIGIND_ARCHIVE_ARCHIVE_H
#define ORIGIND_ARCHIVE_ARCHIVE_H

#include <uv.h>

#include "common/buf.h"
#include "originD/archive/s3.h"

#define ARCHIVE_PUTTERS 2
#define ARCHIVE_READERS 4
#define ARCHIVE_PUTS_MAX 256  /* that wait */
#define ARCHIVE_READS_MAX 256 /* that wait */
#define ARCHIVE_PUT_TRIES 5
#define ARCHIVE_READ_TRIES 3
#define ARCHIVE_ALL UINT32_MAX

struct archive;

/* A closed volume. Its objects are NAME.mp4, then NAME.idx: where the second is, the first is whole. All is copied. */
struct archive_volume {
        const char *mp4_path, *idx_path;
        const char *content_type; /* of the media, for those who look into the store; put only */
        const char *name;    /* "STREAM/SESSION/TRACK/000042-1a2b3c4d" */
        uint64_t mp4_bytes;  /* as in the index's last record; a file that is otherwise is ERR_CORRUPT and stays here */
        uint32_t mp4_crc32c;
};

/* That name, of the volume that lies in this folder (…/TRACK); the caller's to free. With the checksum in it a volume that was cut off
 * and written anew as other bytes is another object: it neither meets the old one nor is taken for it. The old one goes with the rest. */
char *archive_name(const char *stream, const char *session, const char *track_dir, uint32_t number, uint32_t mp4_crc32c);

typedef void archive_done(void *arg, int err, const char *words); /* words is valid during the call, "" without an error */

/* config outlives it and is not off. */
struct archive *archive_open(uv_loop_t *loop, const struct s3_config *config);
void archive_close(struct archive **a, void (*closed)(void *arg), void *arg); /* nulls *a */

int archive_put(struct archive *a, const struct archive_volume *v, archive_done *done, void *arg);

/* Fills `into` from this place of a volume's mp4, by the index file that is here (v's idx_path; of v only that and the name are looked
 * at): what comes is held against the checksums of its chunks. ERR_CORRUPT: it is something else, or the index file cannot be read. A
 * reference is held until done(). */
int archive_read(struct archive *a, const struct archive_volume *v, uint64_t from, struct buf *into, archive_done *done, void *arg);

/* All of a volume's mp4 into the file v->mp4_path, durable; what is there of that name is written over. ERR_CORRUPT: it is not
 * of these bytes and this checksum; ERR_NOSPACE, ERR_IO, ERR_LIMIT: the file cannot be written. On an error there is no file. */
int archive_fetch(struct archive *a, const struct archive_volume *v, archive_done *done, void *arg);

/* All objects whose names begin so; below ARCHIVE_ALL: of volumes of smaller numbers only (begin is "STREAM/SESSION/TRACK/" then). 0 also
 * when there are none. */
int archive_remove(struct archive *a, const char *begin, uint32_t below, archive_done *done, void *arg);

struct archive_stats {
        uint64_t put, put_bytes, put_failed; /* volumes that are in the store by our doing or another's; bytes sent */
        uint64_t put_conflicts;              /* that are there as something else */
        uint64_t read, read_bytes, read_failed;
        size_t putting, reading; /* now: under way or waiting */
        bool failing;            /* it was logged that the store cannot be used, and not yet that it can be again */
};
struct archive_stats archive_stats(const struct archive *a);

#endif
