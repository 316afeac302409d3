#include "transcoderd/encode/reaper.h"

#include "common/err.h"

#define END_MARKS 1 /* the end always finds room */

static void tell(struct mail *mail)
{
        struct reaper_item *item = (struct reaper_item *)mail;
        struct reaper *r = item->reaper;
        r->closing--;
        item->gone(item);
        r->reaped(r->arg);
}

static void *run(void *arg)
{
        struct reaper *r = arg;
        void *taken;
        pthread_setname_np(pthread_self(), "reaper");
        while (queue_take(&r->queue, &taken, -1) == 0 && taken) {
                struct reaper_item *item = taken;
                item->wait(item);
                item->mail.deliver = tell;
                mailbox_post(r->mailbox, &item->mail);
        }
        return NULL;
}

int reaper_open(struct reaper *r, size_t most, struct mailbox *mailbox, void (*reaped)(void *arg), void *arg)
{
        *r = (struct reaper){.mailbox = mailbox, .reaped = reaped, .arg = arg};
        queue_init(&r->queue, most + END_MARKS);
        if (pthread_create(&r->thread, NULL, run, r) == 0)
                return 0;
        queue_fini(&r->queue, NULL); /* it is empty */
        return ERR_LIMIT;
}

void reaper_take(struct reaper *r, struct reaper_item *item)
{
        item->reaper = r;
        r->closing++;
        queue_put(&r->queue, item);
}

void reaper_close(struct reaper *r)
{
        queue_put(&r->queue, NULL); /* behind all that is left */
        pthread_join(r->thread, NULL);
        queue_fini(&r->queue, NULL);
}
