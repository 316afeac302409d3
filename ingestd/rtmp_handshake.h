/* rtmp_handshake.h - the server's side of the RTMP handshake (Adobe's RTMP 1.0, section 5.2; and the digest variant that
 * Flash Media Server introduced, which FFmpeg's client speaks).
 *
 *   C0+C1 (1537 bytes) come in  →  rtmp_handshake_answer()  →  S0+S1+S2 (3073 bytes) go out  →  C2 (1536) is skipped
 *
 * Pure, but for random bytes from the kernel. C2 is not looked at: several encoders send something else than S1. */
#ifndef INGESTD_RTMP_HANDSHAKE_H
#define INGESTD_RTMP_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#define RTMP_VERSION 3
#define RTMP_HANDSHAKE_PART 1536 /* C1, C2, S1, S2 */
#define RTMP_HANDSHAKE_HELLO (1 + RTMP_HANDSHAKE_PART)
#define RTMP_HANDSHAKE_ANSWER (1 + 2 * RTMP_HANDSHAKE_PART)

enum rtmp_handshake_kind { RTMP_HANDSHAKE_SIMPLE, RTMP_HANDSHAKE_DIGEST };

/* What C1 asks for; *digest_at is then where its 32 digest bytes lie. */
enum rtmp_handshake_kind rtmp_handshake_kind(const uint8_t c1[RTMP_HANDSHAKE_PART], unsigned *digest_at);

/* False: C0 is no version we speak (encrypted RTMP, or not RTMP at all). */
bool rtmp_handshake_version_ok(uint8_t c0);
void rtmp_handshake_answer(uint8_t out[RTMP_HANDSHAKE_ANSWER], const uint8_t c1[RTMP_HANDSHAKE_PART]);

#endif
