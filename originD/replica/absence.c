#include "originD/replica/absence.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

struct absence {
        unsigned left; /* answers */
        bool doubted, forgotten;
        void (*done)(void *arg, bool nowhere);
        void *arg;
};

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct absence *a = arg;
        (void)bytes;
        a->doubted |= err || m->status != ERR_NOT_FOUND;
        if (--a->left)
                return;
        if (!a->forgotten)
                a->done(a->arg, !a->doubted);
        free(a);
}

struct absence *absence_ask(struct peer_link *link, const char *but, const struct fetch *segment,
                            void (*done)(void *arg, bool nowhere), void *arg)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t count = link->ops->up(link, up);
        struct absence *a = mem_alloc(sizeof(*a));
        *a = (struct absence){.done = done, .arg = arg};
        for (size_t i = 0; i < count; i++)
                if (strcmp(up[i].id, but) != 0)
                        a->left += !link->ops->fetch(link, up[i].id, segment, on_answer, a);
        if (a->left)
                return a;
        free(a);
        return NULL;
}

void absence_forget(struct absence **a)
{
        if (*a)
                (*a)->forgotten = true;
        *a = NULL;
}
