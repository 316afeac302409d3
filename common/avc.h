/* avc.h - H.264 as FLV and MP4 carry it: the decoder's configuration record (avcC, ISO/IEC 14496-15 section 5.3.3.1), and the NAL
 * units of an access unit, behind their lengths or, from encoders that do not know better, behind start codes (ITU-T H.264, annex B).
 *
 * Pure; reads in place what strangers sent, any bytes. */
#ifndef COMMON_AVC_H
#define COMMON_AVC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define AVC_LENGTH_SIZE 4 /* what nearly everybody has */

struct avc_record {
        unsigned length_size; /* of the length before each NAL unit: 1, 2 or 4 */
        unsigned sps, pps;    /* how many parameter sets are in it */
};

/* 0; ERR_NOT_FOUND: it has no sequence or no picture parameter set, which may come in the access units; ERR_PROTO: it makes no sense.
 * *out is only set with 0 and ERR_NOT_FOUND. What follows the picture parameter sets is not looked at. */
int avc_record_read(struct avc_record *out, const uint8_t *data, size_t len_bytes);

/* Whether `newer` has a sequence parameter set that `older` has not: zeros at its end, its place and what is around it do not count.
 * A record that makes no sense has none. */
bool avc_record_brings_sps(const uint8_t *older, size_t older_len, const uint8_t *newer, size_t newer_len);

/* Writes the record for parameter sets that are in an access unit, with lengths of length_size. Returns its length, or 0: there is no
 * set of one kind, or cap is too little. */
size_t avc_record_make(uint8_t *dst, size_t cap, unsigned length_size, const uint8_t *unit, size_t len_bytes);

/* What an access unit holds. */
struct avc_look {
        bool picture;  /* a coded slice */
        bool idr;      /* of an IDR picture: decoding may begin here */
        bool intra;    /* all slices are intra coded */
        bool recovery; /* a recovery point: decoding may begin here, and is right some pictures later */
        bool sps, pps; /* parameter sets */
        bool broken;   /* there is no NAL unit, or its length does not fit: what was found before is told */
};
struct avc_look avc_look(unsigned length_size, const uint8_t *unit, size_t len_bytes);

/* Whether one of the SEI messages of that type says yes, in one or many access units. They are asked in order, their payload without the
 * bytes that keep start codes away; one that is longer than AVC_SEI_BYTES_MAX, or not whole, is not. */
#define AVC_SEI_T35 4         /* user_data_registered_itu_t_t35 */
#define AVC_SEI_UNREGISTERED 5 /* user_data_unregistered */
#define AVC_SEI_BYTES_MAX 512 /* of closed captions with 31 triplets there are 106 */
bool avc_has_sei(unsigned length_size, const uint8_t *units, size_t len_bytes, unsigned type,
                 bool (*is_it)(const uint8_t *payload, size_t len_bytes));

/* A copy of the access unit with one SEI message more before its picture. NULL: it is longer than a length of length_size can say. */
struct buf *avc_add_sei(unsigned length_size, const uint8_t *unit, size_t len_bytes, unsigned type, const uint8_t *payload,
                        size_t payload_len);

#endif
