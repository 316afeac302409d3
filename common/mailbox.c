#include "common/mailbox.h"

#include <assert.h>

#include "common/magic.h"

#define MAILBOX_MAGIC 0x4d41494c

/* One wake-up delivers at most this many before the loop turns again, so that a busy poster cannot starve timers. */
#define DELIVER_MAX 1024

static struct mail *take_first(struct mailbox *mb)
{
        pthread_mutex_lock(&mb->lock);
        struct mail *mail = mb->first;
        if (mail) {
                mb->first = mail->next;
                if (!mb->first)
                        mb->last = &mb->first;
        }
        pthread_mutex_unlock(&mb->lock);
        return mail;
}

/* deliver() may close the mailbox; the memory lives until the loop has run the close callback, and the queue is empty. */
static void on_wake(uv_async_t *wake)
{
        struct mailbox *mb = magic_check(wake->data, MAILBOX_MAGIC);
        struct mail *mail;
        for (int n = 0; n < DELIVER_MAX; n++) {
                mail = take_first(mb);
                if (!mail)
                        return;
                mail->deliver(mail);
                if (uv_is_closing((uv_handle_t *)wake))
                        return;
        }
        uv_async_send(wake);
}

void mailbox_open(struct mailbox *mb, uv_loop_t *loop)
{
        int rv = uv_async_init(loop, &mb->wake, on_wake);
        assert(rv == 0);
        (void)rv;
        mb->magic = MAILBOX_MAGIC;
        mb->wake.data = mb;
        pthread_mutex_init(&mb->lock, NULL);
        mb->first = NULL;
        mb->last = &mb->first;
}

void mailbox_post(struct mailbox *mb, struct mail *mail)
{
        mail->next = NULL;
        pthread_mutex_lock(&mb->lock);
        int was_empty = mb->first == NULL;
        *mb->last = mail;
        mb->last = &mail->next;
        /* Inside the lock: once it is released the loop may have delivered this mail, and its owner closed the box. */
        if (was_empty)
                uv_async_send(&mb->wake);
        pthread_mutex_unlock(&mb->lock);
}

static void on_closed(uv_handle_t *handle)
{
        struct mailbox *mb = magic_check(handle->data, MAILBOX_MAGIC);
        mb->magic = 0;
        pthread_mutex_destroy(&mb->lock);
        if (mb->closed)
                mb->closed(mb);
}

void mailbox_close_then(struct mailbox *mb, void (*closed)(struct mailbox *mb))
{
        struct mail *mail;
        while ((mail = take_first(mb)))
                mail->deliver(mail);
        mb->closed = closed;
        uv_close((uv_handle_t *)&mb->wake, on_closed);
}

void mailbox_close(struct mailbox *mb)
{
        mailbox_close_then(mb, NULL);
}
