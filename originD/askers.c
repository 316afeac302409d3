#include "originD/askers.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"

void askers_init(struct askers *a, size_t waits_of_one)
{
        *a = (struct askers){.waits_of_one = waits_of_one};
}

static struct asker **find(struct askers *a, uint64_t id)
{
        struct asker **at = &a->buckets[(id ^ id >> 32) % ASKER_BUCKETS];
        while (*at && (*at)->id != id)
                at = &(*at)->next;
        return at;
}

static struct asker *get(struct askers *a, uint64_t id)
{
        struct asker **at = find(a, id), *x = *at;
        if (x)
                return x;
        *at = x = mem_alloc(sizeof(*x));
        x->id = id;
        for (size_t k = 0; k < READ_KINDS; k++)
                x->lines[k].last = &x->lines[k].first;
        a->count++;
        return x;
}

static void forget_if_idle(struct askers *a, struct asker *x)
{
        if (x->questions)
                return;
        struct asker **at = find(a, x->id);
        *at = x->next;
        a->count--;
        free(x);
}

/* When all are taken, who has less than an even share of them gets one nevertheless: those who have more would keep it out for
 * ever. So there can be some more than "all", as many as those who came late may have evenly. */
bool askers_wait(struct askers *a, struct asking *q, uint64_t id)
{
        size_t all = a->waits_of_one * ASKERS_WAITS_FACTOR;
        struct asker *x = q->asker ? q->asker : get(a, id);
        assert(!q->waiting);
        if (x->waiting >= a->waits_of_one || (a->waiting >= all && x->waiting >= all / a->count)) {
                forget_if_idle(a, x);
                return false;
        }
        if (!q->asker)
                x->questions++;
        q->asker = x;
        q->waiting = true;
        x->waiting++;
        a->waiting++;
        return true;
}

/* From its asker, if it has nothing of it any more. */
static void part(struct askers *a, struct asking *q)
{
        struct asker *x = q->asker;
        if (q->waiting || q->state != ASKING_NOTHING || q->bytes)
                return;
        q->asker = NULL;
        x->questions--;
        forget_if_idle(a, x);
}

void askers_no_wait(struct askers *a, struct asking *q)
{
        if (!q->waiting)
                return;
        q->waiting = false;
        q->asker->waiting--;
        a->waiting--;
        part(a, q);
}

static bool may_read(const struct askers *a, const struct asker *x, enum read_kind kind)
{
        return a->kinds[kind].reading < READS_AT_ONCE && x->lines[kind].reading < READS_OF_ONE && a->bytes < READ_BYTES_MAX &&
               x->bytes < READ_BYTES_OF_ONE;
}

static void begin_read(struct askers *a, struct asking *q)
{
        q->state = ASKING_READS;
        a->kinds[q->kind].reading++;
        q->asker->lines[q->kind].reading++;
}

static void enter_ring(struct askers *a, struct asker *x, enum read_kind kind)
{
        struct asker_line *l = &x->lines[kind];
        struct asker *at = a->kinds[kind].next;
        if (!at) {
                l->next_in_turn = l->prev_in_turn = a->kinds[kind].next = x;
                return;
        }
        l->next_in_turn = at; /* the last to have its turn */
        l->prev_in_turn = at->lines[kind].prev_in_turn;
        l->prev_in_turn->lines[kind].next_in_turn = x;
        at->lines[kind].prev_in_turn = x;
}

static void leave_ring(struct askers *a, struct asker *x, enum read_kind kind)
{
        struct asker_line *l = &x->lines[kind];
        if (a->kinds[kind].next == x)
                a->kinds[kind].next = l->next_in_turn == x ? NULL : l->next_in_turn;
        l->prev_in_turn->lines[kind].next_in_turn = l->next_in_turn;
        l->next_in_turn->lines[kind].prev_in_turn = l->prev_in_turn;
}

bool askers_read(struct askers *a, struct asking *q, enum read_kind kind)
{
        struct asker *x = q->asker;
        struct asker_line *l = &x->lines[kind];
        assert(q->waiting && q->state == ASKING_NOTHING);
        q->kind = kind;
        if (!l->first && may_read(a, x, kind)) {
                begin_read(a, q);
                return true;
        }
        if (!l->first)
                enter_ring(a, x, kind);
        q->state = ASKING_IN_LINE;
        q->next = NULL;
        q->prev = l->last;
        *l->last = q;
        l->last = &q->next;
        a->kinds[kind].in_line++;
        return false;
}

static void leave_line(struct askers *a, struct asking *q)
{
        struct asker_line *l = &q->asker->lines[q->kind];
        *q->prev = q->next;
        if (q->next)
                q->next->prev = q->prev;
        else
                l->last = q->prev;
        q->state = ASKING_NOTHING;
        a->kinds[q->kind].in_line--;
        if (!l->first)
                leave_ring(a, q->asker, q->kind);
}

struct asking *askers_next(struct askers *a, enum read_kind kind)
{
        struct asker *first = a->kinds[kind].next, *x = first;
        while (x && !may_read(a, x, kind)) {
                x = x->lines[kind].next_in_turn;
                if (x == first)
                        return NULL;
        }
        if (!x)
                return NULL;
        struct asking *q = x->lines[kind].first;
        a->kinds[kind].next = x->lines[kind].next_in_turn; /* before x may leave the ring */
        leave_line(a, q);
        begin_read(a, q);
        return q;
}

static void end_read(struct askers *a, struct asking *q)
{
        a->kinds[q->kind].reading--;
        q->asker->lines[q->kind].reading--;
        q->state = ASKING_NOTHING;
}

void askers_yield(struct askers *a, struct asking *q)
{
        if (q->state != ASKING_READS)
                return;
        end_read(a, q);
        part(a, q);
}

static void count_bytes(struct askers *a, struct asking *q, size_t bytes)
{
        a->bytes += bytes - q->bytes;
        q->asker->bytes += bytes - q->bytes;
        q->bytes = bytes;
}

void askers_keep(struct askers *a, struct asking *q, size_t bytes)
{
        assert(q->state == ASKING_READS);
        count_bytes(a, q, bytes);
        end_read(a, q);
        part(a, q);
}

void askers_leave(struct askers *a, struct asking *q)
{
        if (!q->asker)
                return;
        if (q->state == ASKING_IN_LINE)
                leave_line(a, q);
        else if (q->state == ASKING_READS)
                end_read(a, q);
        count_bytes(a, q, 0);
        if (q->waiting) {
                q->waiting = false;
                q->asker->waiting--;
                a->waiting--;
        }
        part(a, q);
}
