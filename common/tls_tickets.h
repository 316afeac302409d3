/* tls_tickets.h - what a TLS server's tickets are sealed with: keys of this process alone, or such as all servers of a site make of a
 * secret that they share, so that who comes again may come to another of them.
 *
 *   tls_tickets_open() → tls_tickets_share(), tls_tickets_seal_with(), tls_tickets_opens_with() … → tls_tickets_close()
 *
 * Keys of this process are made by chance, anew every TLS_TICKETS_S; the one before opens what it sealed for as long again. Shared ones
 * are made of the secret, of what the server proves by (its certificates), and of the hour since 1970: none is sent or stored anywhere,
 * those of one hour tell nothing of those of another, and with other certificates they are others. The key of the hour before opens too,
 * and that of the hour after, for the clock of another server may be ahead.
 *
 * Who learns the secret can open every ticket that was sealed by it. In one of TLS 1.3 there is nothing by which what was sent can be
 * read, since each connection has a key exchange of its own (psk_dhe_ke); in one of TLS 1.2 there is the key itself. So the latter are
 * sealed with keys of this process only: `shared` says whether the ticket may be one of the former.
 *
 * Any thread; one mutex. */
#ifndef COMMON_TLS_TICKETS_H
#define COMMON_TLS_TICKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_TICKETS_S 3600
#define TLS_TICKETS_SECRET_MIN 32 /* characters: who has a ticket can try secrets as fast as he likes */
#define TLS_TICKETS_PROOF 32

struct tls_ticket_key {
        unsigned char name[16], cipher[32], mac[32];
};

struct tls_tickets;

struct tls_tickets *tls_tickets_open(void);

/* secret "": nothing is shared. proof: a digest of the certificates. The keys of before open nothing any more, the process's own neither:
 * what was proved by another certificate is not to be taken for a proof of this one. */
void tls_tickets_share(struct tls_tickets *t, const char *secret, const uint8_t proof[TLS_TICKETS_PROOF]);

/* A copy of what a new ticket is sealed with. false: there is no chance to be had. Times: monotonic, and since 1970. */
bool tls_tickets_seal_with(struct tls_tickets *t, bool shared, int64_t mono_us, int64_t wall_us, struct tls_ticket_key *out);
/* A copy of what the ticket that has this name was sealed with. false: it is none of these keys, or too old. */
bool tls_tickets_opens_with(struct tls_tickets *t, const unsigned char name[16], int64_t mono_us, int64_t wall_us,
                            struct tls_ticket_key *out);

void tls_tickets_close(struct tls_tickets **t); /* NULL is fine */

#endif
