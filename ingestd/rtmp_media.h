/* rtmp_media.h - audio, video, data and aggregate messages become frames. These return the state that follows; a tag takes m->block
 * if it becomes a frame. */
#ifndef INGESTD_RTMP_MEDIA_H
#define INGESTD_RTMP_MEDIA_H

#include "ingestd/rtmp_state.h"

enum session_state rtmp_media_tag(struct rtmp_session *s, struct rtmp_message *m);
enum session_state rtmp_media_data(struct rtmp_session *s, const uint8_t *data, size_t len_bytes, uint32_t timestamp_ms);
enum session_state rtmp_media_aggregate(struct rtmp_session *s, const struct rtmp_message *m);

#endif
