/* budget.h - what connections make the process keep, bounded over all of them: unfinished messages, what waits for a decision or for
 * its turn, replies that are not read.
 *
 *   budget_init()
 *   budget_set()     a connection keeps so much now; one that had a share of another budget leaves that
 *   budget_excess()  who has to go, until there is nobody: one of the largest, and of these the one that has been so for longest
 *   budget_leave()   it is gone, or on its way; idempotent
 *
 * Strangers and broadcasters that are live have one each, so that no number of strangers costs a broadcaster anything. Large is who
 * keeps as many binary digits of bytes as anybody: to the byte it does not matter, and finding one takes no time, however many there
 * are. A share lies in its connection and is zero before. Pure. */
#ifndef INGESTD_BUDGET_H
#define INGESTD_BUDGET_H

#include <stddef.h>

#define BUDGET_SIZES 33 /* binary digits of a size, which is less than 2^32 */

struct budget_share {
        struct budget *of; /* NULL: none */
        size_t bytes;
        struct budget_share *next, **link; /* of its size; only with bytes */
};

struct budget {
        size_t limit, bytes;
        struct budget_size {
                struct budget_share *first, **last; /* in the order in which they became so large */
        } sizes[BUDGET_SIZES];
};

void budget_init(struct budget *b, size_t limit_bytes);
void budget_set(struct budget *b, struct budget_share *s, size_t bytes);
struct budget_share *budget_excess(const struct budget *b); /* NULL: all of them together are within the limit */
void budget_leave(struct budget_share *s);

#endif
