#include "edged/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/daemon/log.h"
#include "common/mem.h"

#define PARTS_A_WRITE 64

struct place {
        off_t at;
        size_t len; /* whole pages */
        void *mapped;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int file = -1;
static _Atomic off_t next_at;
static atomic_uint bodies;

static void open_file(void)
{
        file = memfd_create("pages", MFD_CLOEXEC);
        if (file < 0)
                log_warn("msg=\"answers are copied for each viewer: there is no memory that can be sent without\" error=\"%s\"", strerror(errno));
}

static void give_back(const struct place *p)
{
        fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, p->at, (off_t)p->len);
        atomic_fetch_sub(&bodies, 1);
}

static void release(void *owner)
{
        struct place *p = owner;
        munmap(p->mapped, p->len);
        give_back(p);
        free(p);
}

static size_t sum_of(struct buf *const *parts, unsigned count)
{
        size_t len = 0;
        for (unsigned i = 0; i < count; i++)
                len += parts[i]->len;
        return len;
}

/* By a system call and not through a mapping: where there is no memory left, the one fails and the other ends the process. */
static bool write_parts(off_t at, struct buf *const *parts, unsigned count)
{
        struct iovec v[PARTS_A_WRITE];
        for (unsigned i = 0; i < count;) {
                unsigned n = 0;
                size_t len = sum_of(parts + i, count - i < PARTS_A_WRITE ? count - i : PARTS_A_WRITE);
                for (; n < PARTS_A_WRITE && i < count; n++, i++)
                        v[n] = (struct iovec){parts[i]->data, parts[i]->len};
                if (pwritev(file, v, (int)n, at) != (ssize_t)len)
                        return false;
                at += (off_t)len;
        }
        return true;
}

size_t pages_bytes(size_t len)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        return (len + page - 1) / page * page;
}

/* NULL: there is no room. */
static struct buf *join_in_pages(struct buf *const *parts, unsigned count, size_t len)
{
        if (atomic_fetch_add(&bodies, 1) >= PAGES_BODIES_MAX) {
                atomic_fetch_sub(&bodies, 1);
                return NULL;
        }
        struct place *p = mem_alloc(sizeof(*p));
        p->len = pages_bytes(len);
        p->at = atomic_fetch_add(&next_at, (off_t)p->len);
        p->mapped = MAP_FAILED;
        if (write_parts(p->at, parts, count)) /* populated: these pages are the process's, and are to be seen as such */
                p->mapped = mmap(NULL, p->len, PROT_READ, MAP_SHARED | MAP_POPULATE, file, p->at);
        if (p->mapped != MAP_FAILED)
                return buf_wrap(p->mapped, len, release, p);
        give_back(p);
        free(p);
        return NULL;
}

static struct buf *join_in_heap(struct buf *const *parts, unsigned count, size_t len)
{
        struct buf *all = buf_new(len);
        size_t at = 0;
        for (unsigned i = 0; i < count; at += parts[i++]->len)
                memcpy(all->data + at, parts[i]->data, parts[i]->len);
        return all;
}

struct buf *pages_join(struct buf *const *parts, unsigned count)
{
        size_t len = sum_of(parts, count);
        pthread_once(&once, open_file);
        bool worth = len >= PAGES_LEAST && file >= 0 && !(count == 1 && pages_find(parts[0], NULL, NULL));
        struct buf *all = worth ? join_in_pages(parts, count, len) : NULL;
        if (all)
                return all;
        return count == 1 ? buf_ref(parts[0]) : join_in_heap(parts, count, len);
}

bool pages_find(const struct buf *b, int *fd, off_t *at)
{
        if (!b || b->release != release)
                return false;
        if (fd)
                *fd = file;
        if (at)
                *at = ((const struct place *)b->owner)->at;
        return true;
}

unsigned pages_bodies(void)
{
        return atomic_load(&bodies);
}
