#include "edged/headcount.h"

#include <assert.h>
#include <string.h>

void headcount_open(struct headcount *h)
{
        pthread_mutex_init(&h->lock, NULL);
        h->count = 0;
}

void headcount_close(struct headcount *h)
{
        pthread_mutex_destroy(&h->lock);
}

void headcount_put(struct headcount *h, const struct audience_row *rows, size_t count)
{
        assert(count <= AUDIENCE_STREAMS + 1);
        pthread_mutex_lock(&h->lock);
        memcpy(h->rows, rows, count * sizeof(rows[0]));
        h->count = count;
        pthread_mutex_unlock(&h->lock);
}

size_t headcount_get(struct headcount *h, struct audience_row rows[AUDIENCE_STREAMS + 1])
{
        pthread_mutex_lock(&h->lock);
        size_t count = h->count;
        memcpy(rows, h->rows, count * sizeof(rows[0]));
        pthread_mutex_unlock(&h->lock);
        return count;
}
