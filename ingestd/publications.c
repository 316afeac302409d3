#include "ingestd/publications.h"

void publications_poke(struct publications *all)
{
        for (struct publication *p = all->first, *next; p; p = next) {
                next = publication_next(p);
                publication_poke(p);
        }
}

void publications_lose(struct publications *all, const struct rpc_client *gone)
{
        for (struct publication *p = all->first, *next; p; p = next) {
                next = publication_next(p);
                publication_lose(p, gone);
        }
}

unsigned publications_kick(struct publications *all, const char *stream, const char *why)
{
        unsigned kicked = 0;
        for (struct publication *p = all->first, *next; p; p = next) {
                next = publication_next(p);
                if (publication_is(p, stream))
                        kicked += publication_kick(p, why);
        }
        return kicked;
}
