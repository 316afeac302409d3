#include "originD/replica/catch_up_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/mem.h"
#include "originD/stats.h"

static bool before(const struct lack *a, const struct lack *b)
{
        if (a->exact != b->exact)
                return a->exact;
        return a->live != b->live ? a->live : a->epoch_us > b->epoch_us;
}

static size_t bucket(const char *stream)
{
        return XXH3_64bits(stream, strlen(stream)) % LACK_BUCKETS;
}

static struct lack *find_lack(const struct catch_up *r, const char *id, const char *stream, const char *peer)
{
        struct lack *l = r->by_stream[bucket(stream)];
        while (l && (strcmp(l->id, id) != 0 || strcmp(l->peer, peer) != 0))
                l = l->next_of_bucket;
        return l;
}

static void link_lack(struct catch_up *r, struct lack *l)
{
        struct lack **at = &r->lacks;
        while (*at && !before(l, *at))
                at = &(*at)->next;
        l->next = *at;
        *at = l;
        at = &r->by_stream[bucket(l->stream)];
        while (*at && !before(l, *at))
                at = &(*at)->next_of_bucket;
        l->next_of_bucket = *at;
        *at = l;
}

static void unlink_lack(struct catch_up *r, struct lack *l)
{
        struct lack **at = &r->lacks;
        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        at = &r->by_stream[bucket(l->stream)];
        while (*at != l)
                at = &(*at)->next_of_bucket;
        *at = l->next_of_bucket;
}

void catch_up_move_lack(struct catch_up *r, struct lack *l)
{
        unlink_lack(r, l);
        link_lack(r, l);
}

const struct lack *catch_up_lacks_like(const struct catch_up *r, const char *stream)
{
        return r->by_stream[bucket(stream)];
}

static void count_lack(struct catch_up *r, const struct lack *l, int n)
{
        *(l->foreign ? &r->foreign_count : &r->lack_count) += (size_t)n;
        stat_set(STAT_BEHIND, (int64_t)r->lack_count);
}

void catch_up_forget_lack(struct catch_up *r, struct lack *l)
{
        unlink_lack(r, l);
        count_lack(r, l, -1);
        free(l);
}

struct lack *catch_up_note_lack(struct catch_up *r, const char *peer, const char *id, const char *stream, int64_t epoch_us,
                              bool live, bool foreign)
{
        struct lack *l = find_lack(r, id, stream, peer);
        if (!l && (foreign ? r->foreign_count >= CATCH_UP_FOREIGN_MAX : r->lack_count >= CATCH_UP_LACKS_MAX))
                return NULL;
        if (!l) {
                l = mem_alloc(sizeof(*l));
                *l = (struct lack){.catch_up = r, .epoch_us = epoch_us, .live = live, .foreign = foreign};
                snprintf(l->id, sizeof(l->id), "%s", id);
                snprintf(l->stream, sizeof(l->stream), "%s", stream);
                snprintf(l->peer, sizeof(l->peer), "%s", peer);
                link_lack(r, l);
                count_lack(r, l, 1);
        }
        count_lack(r, l, -1);
        l->foreign = foreign;
        count_lack(r, l, 1);
        return l;
}
