/* publications.h - what is done with all publications of a daemon (struct publications of publication.h): transcoders came or went,
 * an operator lets broadcasters go. Loop thread only. */
#ifndef INGESTD_PUBLICATIONS_H
#define INGESTD_PUBLICATIONS_H

#include "ingestd/publication.h"

void publications_poke(struct publications *all);                                 /* transcoders came */
void publications_lose(struct publications *all, const struct rpc_client *gone); /* this one must not be used any more */

/* Lets all that publish this stream go. Returns how many did. */
unsigned publications_kick(struct publications *all, const char *stream, const char *why);

#endif
