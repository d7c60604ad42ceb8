// What a SIP message may look like at most. See sanity.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "sanity.hpp"

#include <pjsip.h>

#include <algorithm>
#include <bitset>
#include <cstring>
#include <string_view>

namespace switchhook {

namespace {

using Text = std::string_view;

constexpr std::size_t MOST_HEADER_BYTES = 8 * 1024; // of one header, folded lines and all
constexpr std::size_t MOST_BODY_BYTES = 16 * 1024;  // more than PJSIP_MAX_PKT_LEN has room for today
constexpr unsigned MOST_HEADERS = 128;              // values: a list in one line counts as PJSIP takes it apart
constexpr unsigned MOST_VIAS = 70;                  // Max-Forwards starts there (RFC 3261 §8.1.1.6)
constexpr unsigned MOST_TOKENS = 32;                // PJSIP_GENERIC_ARRAY_MAX_COUNT
constexpr unsigned MOST_SERVICE_ROUTES = 8;         // PJSUA_ACC_MAX_PROXIES
constexpr unsigned MOST_PARTS = 16;
constexpr unsigned MOST_SDP_LINES = 500;
constexpr unsigned MOST_MEDIA = 16;   // PJMEDIA_MAX_SDP_MEDIA
constexpr unsigned MOST_CRYPTOS = 16; // PJSIP 2.17 has room for 64 tags on its stack, and does not count
constexpr unsigned FIRST_DYNAMIC = 96, PAYLOAD_TYPES = 128;

Text text_of(const pj_str_t &value) {
    return value.slen > 0 ? Text(value.ptr, static_cast<std::size_t>(value.slen)) : Text();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool starts(Text text, const char *lower_case) {
    std::size_t at = 0;
    for (; lower_case[at] != '\0'; ++at)
        if (at == text.size() || (text[at] | 0x20) != lower_case[at])
            return false;
    return true;
}

// ---------------------------------------------------------------------------------------------------------- the head

struct Head {
    bool too_long = false; // one header is
    std::size_t bytes = 0; // of all, with the empty line
};

// A line ends as PJSIP's scanner has it: CR LF, LF, or CR.
Head head_of(Text message) {
    Head head;
    std::size_t at = 0, header = 0; // where this line and this header began
    std::size_t feed = 0;           // the next LF: looked for once, however many CRs come before it
    while (at < message.size()) {
        if (feed <= at)
            feed = std::min(message.find('\n', at), message.size());
        const std::size_t end = at + std::min(message.substr(at, feed - at).find('\r'), feed - at);
        if (message[at] != ' ' && message[at] != '\t')
            header = at;
        if (end - header > MOST_HEADER_BYTES)
            head.too_long = true;
        const bool empty = end == at;
        at = end;
        if (at < message.size() && message[at] == '\r')
            ++at;
        if (at < message.size() && message[at] == '\n')
            ++at;
        if (empty)
            break;
    }
    head.bytes = at;
    return head;
}

// Values of a header that PJSIP keeps as one text: commas outside of quotes and angle brackets (RFC 3261 §7.3.1) part them.
unsigned values_in(Text text) {
    unsigned values = 1;
    bool quoted = false, angled = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (quoted) {
            if (c == '\\')
                ++at;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '<' || c == '>') {
            angled = c == '<';
        } else if (c == ',' && !angled) {
            ++values;
        }
    }
    return values;
}

const char *fault_of_headers(const pjsip_msg *message) {
    unsigned headers = 0, vias = 0, allow = 0, require = 0, supported = 0, service_routes = 0;
    unsigned single[6] = {0};
    for (const pjsip_hdr *header = message->hdr.next; header != &message->hdr; header = header->next) {
        if (++headers > MOST_HEADERS)
            return "Too Many Header Fields";
        switch (header->type) {
        case PJSIP_H_VIA: ++vias; break;
        case PJSIP_H_ALLOW: allow += reinterpret_cast<const pjsip_allow_hdr *>(header)->count; break;
        case PJSIP_H_REQUIRE: require += reinterpret_cast<const pjsip_require_hdr *>(header)->count; break;
        case PJSIP_H_SUPPORTED: supported += reinterpret_cast<const pjsip_supported_hdr *>(header)->count; break;
        case PJSIP_H_CALL_ID: ++single[0]; break;
        case PJSIP_H_CSEQ: ++single[1]; break;
        case PJSIP_H_FROM: ++single[2]; break;
        case PJSIP_H_TO: ++single[3]; break;
        case PJSIP_H_CONTENT_TYPE: ++single[4]; break;
        case PJSIP_H_CONTENT_LENGTH: ++single[5]; break;
        case PJSIP_H_OTHER:
            if (header->name.slen == 13 && starts(text_of(header->name), "service-route"))
                service_routes += values_in(text_of(reinterpret_cast<const pjsip_generic_string_hdr *>(header)->hvalue));
            break;
        default: break;
        }
    }
    if (vias > MOST_VIAS)
        return "Too Many Vias";
    if (allow > MOST_TOKENS || require > MOST_TOKENS || supported > MOST_TOKENS)
        return "Too Many Option Tags";
    if (service_routes > MOST_SERVICE_ROUTES)
        return "Too Many Service-Routes";
    for (const unsigned count : single) // RFC 4475 §3.3.8: which of them holds?
        if (count > 1)
            return "Repeated Header Field";
    return nullptr;
}

// ----------------------------------------------------------------------------------------------------------- the SDP

// The formats of the m= line that is read, and which of them were explained.
struct Formats {
    std::bitset<PAYLOAD_TYPES> asked, mapped;

    bool all_mapped() const { return (asked & ~mapped).none(); }
};

// The next word of a line, and the line after it.
Text word(Text &line) {
    std::size_t begin = 0;
    while (begin < line.size() && is_space(line[begin]))
        ++begin;
    std::size_t end = begin;
    while (end < line.size() && !is_space(line[end]))
        ++end;
    const Text found = line.substr(begin, end - begin);
    line.remove_prefix(end);
    return found;
}

// A payload type, or PAYLOAD_TYPES for what is none.
unsigned payload_type(Text text) {
    unsigned number = 0;
    for (const char c : text) {
        if (!is_digit(c))
            return PAYLOAD_TYPES;
        number = std::min(number * 10 + static_cast<unsigned>(c - '0'), PAYLOAD_TYPES);
    }
    return text.empty() ? PAYLOAD_TYPES : number;
}

// "audio 4000 RTP/AVP 0 101": 101 wants an rtpmap. A stream that is refused (port 0) may say what it likes.
Formats formats_of(Text media) {
    Formats formats;
    word(media);
    const Text port = word(media);
    if (port.find_first_not_of('0') == Text::npos || word(media).find("RTP/") == Text::npos)
        return formats;
    while (!media.empty())
        if (const unsigned type = payload_type(word(media)); type >= FIRST_DYNAMIC && type < PAYLOAD_TYPES)
            formats.asked.set(type);
    return formats;
}

// "101 telephone-event/8000": PJSIP asks each map for its name and rate, and does not look whether it had any.
void take_map(Text map, Formats &formats) {
    const unsigned type = payload_type(word(map));
    const Text encoding = word(map);
    const std::size_t slash = encoding.find('/');
    const bool whole = slash != Text::npos && slash > 0 && slash + 1 < encoding.size() && is_digit(encoding[slash + 1]);
    if (type < PAYLOAD_TYPES && whole)
        formats.mapped.set(type);
}

// A line ends with LF, as PJSIP's SDP parser has it; a CR is white space.
const char *fault_of_sdp(Text sdp) {
    unsigned lines = 0, media = 0, cryptos = 0;
    Formats formats;
    while (!sdp.empty()) {
        const std::size_t end = std::min(sdp.find('\n'), sdp.size());
        const Text line = sdp.substr(0, end);
        sdp.remove_prefix(std::min(end + 1, sdp.size()));
        if (++lines > MOST_SDP_LINES)
            return "Too Many SDP Lines";
        if (line.size() < 2 || line[1] != '=')
            continue;
        const Text value = line.substr(2);
        if (line[0] == 'm') {
            if (++media > MOST_MEDIA)
                return "Too Many Media Streams";
            if (!formats.all_mapped())
                break;
            formats = formats_of(value);
        } else if (line[0] == 'a' && starts(value, "crypto")) {
            if (++cryptos > MOST_CRYPTOS)
                return "Too Many Crypto Attributes";
        } else if (line[0] == 'a' && value.substr(0, 7) == "rtpmap:") {
            take_map(value.substr(7), formats);
        }
    }
    return formats.all_mapped() ? nullptr : "Payload Type Without rtpmap";
}

// ---------------------------------------------------------------------------------------------------------- the body

bool is_sdp(const pjsip_media_type &type) {
    return pj_stricmp2(&type.type, "application") == 0 && pj_stricmp2(&type.subtype, "sdp") == 0;
}

const char *fault_of_part(const pjsip_msg_body *body) {
    if (body == nullptr || !is_sdp(body->content_type))
        return nullptr;
    return fault_of_sdp(Text(static_cast<const char *>(body->data), body->len));
}

// PJSIP finds a boundary by itself where none is named, and keeps a body without a part. RFC 2046 §5.1.1 knows neither.
const char *fault_of_multipart(const pjsip_media_type &type, const pjsip_msg_body *body) {
    static const pj_str_t boundary_name = pj_str(const_cast<char *>("boundary"));
    const pjsip_param *boundary = pjsip_param_find(&type.param, &boundary_name);
    const Text value = boundary != nullptr ? text_of(boundary->value) : Text();
    if (value.empty() || value == "\"\"")
        return "Multipart Without Boundary";
    pjsip_multipart_part *part = body != nullptr ? pjsip_multipart_get_first_part(body) : nullptr;
    if (part == nullptr)
        return "Empty Multipart";
    for (unsigned parts = 1; part != nullptr; ++parts, part = pjsip_multipart_get_next_part(body, part)) {
        if (parts > MOST_PARTS)
            return "Too Many Body Parts";
        if (const char *fault = fault_of_part(part->body))
            return fault;
    }
    return nullptr;
}

} // namespace

const char *fault_of(const pjsip_rx_data *rdata) {
    const pjsip_msg *message = rdata->msg_info.msg;
    const Text text(rdata->msg_info.msg_buf, static_cast<std::size_t>(rdata->msg_info.len));
    const Head head = head_of(text);
    if (head.too_long)
        return "Header Field Too Long";
    const std::size_t body_bytes = text.size() - head.bytes;
    if (body_bytes > MOST_BODY_BYTES)
        return "Body Too Long";
    if (const char *fault = fault_of_headers(message))
        return fault;
    const pjsip_clen_hdr *length = rdata->msg_info.clen;
    if (length != nullptr && length->len > 0 && static_cast<std::size_t>(length->len) > body_bytes)
        return "Body Cut Short"; // RFC 3261 §18.3; a datagram longer than PJSIP's buffer ends like this
    const pjsip_ctype_hdr *type = rdata->msg_info.ctype;
    if (type != nullptr && pj_stricmp2(&type->media.type, "multipart") == 0)
        return fault_of_multipart(type->media, message->body);
    return fault_of_part(message->body);
}

} // namespace switchhook
