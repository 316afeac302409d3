/* mailbox.h - how anything that is not the loop thread hands something to the loop.
 *
 * mail is intrusive: put a struct mail into what is handed over. Order is kept. One wake-up may deliver many.
 *   mailbox_open   loop thread
 *   mailbox_post   any thread; the mail is the mailbox's until deliver(mail) is called on the loop thread
 *   mailbox_close  loop thread, after all posters have stopped; what is still queued is delivered first. The memory may
 *                  be freed once the loop has run its close callbacks (uv_run returned). */
#ifndef COMMON_MAILBOX_H
#define COMMON_MAILBOX_H

#include <pthread.h>
#include <uv.h>

struct mail {
        struct mail *next;
        void (*deliver)(struct mail *mail); /* loop thread; owns the mail again */
};

struct mailbox {
        uint32_t magic;
        uv_async_t wake;
        pthread_mutex_t lock; /* guards first, last */
        struct mail *first, **last;
        void (*closed)(struct mailbox *mb); /* of mailbox_close_then() */
};

void mailbox_open(struct mailbox *mb, uv_loop_t *loop);
void mailbox_post(struct mailbox *mb, struct mail *mail);
void mailbox_close(struct mailbox *mb);
/* Likewise; closed(mb) is called from the loop once the memory may be freed. */
void mailbox_close_then(struct mailbox *mb, void (*closed)(struct mailbox *mb));

#endif
