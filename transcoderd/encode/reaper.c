#include "transcoderd/encode/reaper.h"

#include "common/err.h"

static void tell(struct mail *mail)
{
        struct reaper_item *item = (struct reaper_item *)mail;
        struct reaper *r = item->reaper;
        r->closing--;
        item->gone(item);
        r->reaped(r->arg);
}

/* Waits for one more; NULL: there is none and there will be none. */
static struct reaper_item *next(struct reaper *r)
{
        pthread_mutex_lock(&r->lock);
        while (!r->first && !r->stop)
                pthread_cond_wait(&r->changed, &r->lock);
        struct reaper_item *item = r->first;
        if (item && !(r->first = item->next))
                r->last = &r->first;
        pthread_mutex_unlock(&r->lock);
        return item;
}

static void *run(void *arg)
{
        struct reaper *r = arg;
        struct reaper_item *item;
        pthread_setname_np(pthread_self(), "reaper");
        while ((item = next(r))) {
                item->wait(item);
                item->mail.deliver = tell;
                mailbox_post(r->mailbox, &item->mail);
        }
        return NULL;
}

int reaper_open(struct reaper *r, struct mailbox *mailbox, void (*reaped)(void *arg), void *arg)
{
        *r = (struct reaper){.mailbox = mailbox, .reaped = reaped, .arg = arg, .last = &r->first};
        pthread_mutex_init(&r->lock, NULL);
        pthread_cond_init(&r->changed, NULL);
        return pthread_create(&r->thread, NULL, run, r) == 0 ? 0 : ERR_LIMIT;
}

void reaper_take(struct reaper *r, struct reaper_item *item)
{
        item->reaper = r;
        item->next = NULL;
        r->closing++;
        pthread_mutex_lock(&r->lock);
        *r->last = item;
        r->last = &item->next;
        pthread_cond_signal(&r->changed);
        pthread_mutex_unlock(&r->lock);
}

void reaper_close(struct reaper *r)
{
        pthread_mutex_lock(&r->lock);
        r->stop = true;
        pthread_cond_signal(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
        pthread_cond_destroy(&r->changed);
        pthread_mutex_destroy(&r->lock);
}
