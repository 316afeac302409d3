/* budget.h - what connections make the process keep, bounded over all of them: unfinished messages, bytes that wait for a decision or for
 * their turn, replies that are not read.
 *
 *   budget_init()
 *   budget_set()     a connection keeps so much now; a share of another budget leaves that one
 *   budget_excess()  who has to go, until there is nobody: one of the largest, and of these the one that has been so for longest
 *   budget_leave()   the connection is gone, or on its way; idempotent
 *
 * Strangers have one budget and broadcasters that are live another, so that no number of strangers costs a broadcaster anything. A
 * connection is large when it keeps as many binary digits of bytes as any other: to the byte that does not matter, and finding one takes
 * no time, however many there are. A share lies in its connection and is zero before. Pure. */
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
