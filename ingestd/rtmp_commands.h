/* rtmp_commands.h - what an encoder asks for, and the stream that it publishes: asked for, decided, begun, ended.
 * begin() and take() return the state that follows. */
#ifndef INGESTD_RTMP_COMMANDS_H
#define INGESTD_RTMP_COMMANDS_H

#include "ingestd/rtmp_state.h"

enum session_state rtmp_commands_take(struct rtmp_session *s, const uint8_t *data, size_t len, uint32_t stream_id);
enum session_state rtmp_commands_begin(struct rtmp_session *s);
void rtmp_commands_end(struct rtmp_session *s, enum close_reason why); /* of its publication; idempotent */

#endif
