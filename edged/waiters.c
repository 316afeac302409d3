#include "edged/waiters.h"

#include <stddef.h>

/* ---- the order of arrival ----------------------------------------------------------------------------------------- */

static struct waiters_line *line_of(struct waiters *ws, const struct waiter *w)
{
        return w->have == UINT64_MAX ? &ws->for_end : &ws->for_bytes;
}

static void join_line(struct waiters_line *line, struct waiter *w)
{
        w->next = NULL;
        w->before = line->last;
        *(line->last ? &line->last->next : &line->first) = w;
        line->last = w;
}

static void leave_line(struct waiters_line *line, struct waiter *w)
{
        *(w->next ? &w->next->before : &line->last) = w->before;
        *(w->before ? &w->before->next : &line->first) = w->next;
        w->before = w->next = NULL;
}

/* ---- the heap: a waiter's deadline is not after its children's -------------------------------------------------------- */

/* Of two roots the later one becomes the first child of the other. */
static struct waiter *meld(struct waiter *a, struct waiter *b)
{
        if (!a || !b)
                return a ? a : b;
        if (b->deadline_us < a->deadline_us) {
                struct waiter *earlier = b;
                b = a;
                a = earlier;
        }
        b->sibling = a->child;
        if (b->sibling)
                b->sibling->heap_left = b;
        b->heap_left = a;
        a->child = b;
        return a;
}

/* Siblings become one tree: in pairs from the left, then the pairs from the right. Without recursion, as there may be as many as viewers.
 * */
static struct waiter *meld_all(struct waiter *first)
{
        struct waiter *pairs = NULL, *root = NULL;
        while (first) {
                struct waiter *a = first, *b = a->sibling;
                first = b ? b->sibling : NULL;
                a->sibling = a->heap_left = NULL;
                if (b)
                        b->sibling = b->heap_left = NULL;
                struct waiter *pair = meld(a, b);
                pair->sibling = pairs;
                pairs = pair;
        }
        while (pairs) {
                struct waiter *pair = pairs;
                pairs = pair->sibling;
                pair->sibling = NULL;
                root = meld(root, pair);
        }
        return root;
}

static void leave_heap(struct waiters *ws, struct waiter *w)
{
        struct waiter *children = meld_all(w->child);
        if (w == ws->earliest) {
                ws->earliest = children;
        } else {
                *(w->heap_left->child == w ? &w->heap_left->child : &w->heap_left->sibling) = w->sibling;
                if (w->sibling)
                        w->sibling->heap_left = w->heap_left;
                ws->earliest = meld(ws->earliest, children);
        }
        w->child = w->sibling = w->heap_left = NULL;
}

/* ---- both ------------------------------------------------------------------------------------------------------------- */

void waiters_add(struct waiters *ws, struct waiter *w)
{
        w->expired = false;
        w->child = w->sibling = w->heap_left = NULL;
        w->round = ws->round + 1;
        join_line(line_of(ws, w), w);
        ws->earliest = meld(ws->earliest, w);
}

static void take_out(struct waiters *ws, struct waiter *w)
{
        leave_line(line_of(ws, w), w);
        leave_heap(ws, w);
        w->round = 0;
}

bool waiters_leave(struct waiters *ws, struct waiter *w)
{
        if (w->round != ws->round + 1)
                return false;
        take_out(ws, w);
        return true;
}

struct waiter *waiters_take_behind(struct waiters *ws, uint64_t len)
{
        struct waiters_line taken = {0};
        for (struct waiter *w = ws->for_bytes.first, *next; w; w = next) {
                next = w->next;
                if (w->have >= len) /* another tier that is ahead of what is here: hardly ever */
                        continue;
                take_out(ws, w);
                join_line(&taken, w);
        }
        return taken.first;
}

struct waiter *waiters_take_all(struct waiters *ws)
{
        struct waiter *all = ws->for_bytes.first ? ws->for_bytes.first : ws->for_end.first;
        if (ws->for_bytes.last)
                ws->for_bytes.last->next = ws->for_end.first;
        *ws = (struct waiters){.round = ws->round + 1}; /* nobody is walked over to be told that he waits no more */
        return all;
}

struct waiter *waiters_take_late(struct waiters *ws, int64_t now_us)
{
        struct waiters_line taken = {0};
        while (ws->earliest && ws->earliest->deadline_us <= now_us) {
                struct waiter *w = ws->earliest;
                take_out(ws, w);
                join_line(&taken, w);
        }
        return taken.first;
}

void waiters_wake(struct waiter *list, bool expired)
{
        while (list) {
                struct waiter *next = list->next;
                list->expired = expired;
                list->wake(list);
                list = next;
        }
}
