#include "ingestd/ingest.h"

void ingest_poke(struct ingest *in)
{
        for (struct publication *p = in->first, *next; p; p = next) {
                next = publication_link(p)->next;
                relay_pair_poke(publication_relays(p));
        }
}

void ingest_lose(struct ingest *in, const struct rpc_client *gone)
{
        for (struct publication *p = in->first, *next; p; p = next) {
                next = publication_link(p)->next;
                relay_pair_lose(publication_relays(p), gone);
        }
}

unsigned ingest_kick(struct ingest *in, const char *stream, const char *why)
{
        unsigned kicked = 0;
        for (struct publication *p = in->first, *next; p; p = next) {
                next = publication_link(p)->next;
                if (publication_is(p, stream))
                        kicked += publication_kick(p, why);
        }
        return kicked;
}

void ingest_add(struct ingest *in, struct publication *p)
{
        struct publication_link *l = publication_link(p);
        l->next = in->first;
        l->link = &in->first;
        if (l->next)
                publication_link(l->next)->link = &l->next;
        in->first = p;
        in->count++;
}

void ingest_remove(struct ingest *in, struct publication *p)
{
        struct publication_link *l = publication_link(p);
        *l->link = l->next;
        if (l->next)
                publication_link(l->next)->link = l->link;
        in->count--;
        for (struct publication *other = in->first; other; other = publication_link(other)->next)
                publication_poke(other);
        if (in->count == 0 && in->emptied)
                in->emptied(in->arg);
}
