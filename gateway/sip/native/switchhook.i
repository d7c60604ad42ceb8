// The Python module `pjsua2` of this gateway: upstream's interface file plus our native classes, one extension (build.sh).
// SPDX-License-Identifier: GPL-2.0-or-later
%module(directors="1", threads="1") pjsua2

// Callbacks that Python never sees. A director call takes the interpreter lock even when nobody overrides the method:
// these run on the media clock (each connect and disconnect in the bridge) or once per SIP transaction.
%feature("nodirector") pj::Endpoint::onAudioMediaOpCompleted;
%feature("nodirector") pj::Endpoint::onVideoMediaOpCompleted;
%feature("nodirector") pj::Endpoint::onMediaEvent;
%feature("nodirector") pj::Endpoint::onTimer;
%feature("nodirector") pj::Endpoint::onNatDetectionComplete;
%feature("nodirector") pj::Endpoint::onNatCheckStunServersComplete;
%feature("nodirector") pj::Endpoint::onIpChangeProgress;
%feature("nodirector") pj::Call::onCallTsxState;
%feature("nodirector") pj::Call::onCallMediaTransportState;
%feature("nodirector") pj::Call::onCallMediaEvent;
%feature("nodirector") pj::Call::onCreateMediaTransport;
%feature("nodirector") pj::Call::onCreateMediaTransportSrtp;
%feature("nodirector") pj::Call::onInstantMessageStatus;
%feature("nodirector") pj::Call::onTypingIndication;
%feature("nodirector") pj::Call::onCallRxText;
%feature("nodirector") pj::Call::onStreamPreCreate;
%feature("nodirector") pj::Call::onStreamCreated;
%feature("nodirector") pj::Call::onCallRxReinvite;
%feature("nodirector") pj::Call::onCallTxOffer;
%feature("nodirector") pj::Call::onDtmfEvent;
%feature("nodirector") pj::Call::onCallReplaced;
%feature("nodirector") pj::Account::onTypingIndication;
%feature("nodirector") pj::Account::onInstantMessageStatus;
%feature("nodirector") pj::Account::onMwiInfo;

// Plain getters that take no lock: cheaper with the interpreter lock kept (build.sh does it for fields of structs). Never
// add one that takes PJSUA's lock: its holder may be waiting for the interpreter.
%feature("nothreadallow") pj::Account::getId;
%feature("nothreadallow") pj::Account::isValid;
%feature("nothreadallow") pj::AudioMedia::getPortId;
%feature("nothreadallow") pj::Call::getId;
%feature("nothreadallow") pj::Call::getUserData;
%feature("nothreadallow") pj::Call::isActive;
%feature("nothreadallow") pj::Endpoint::instance;
%feature("nothreadallow") pj::Media::getType;

%include "pjsua2.i"

// ------------------------------------------------------------------------------------------------ our native classes

%{
#include "gatekeeper.hpp"
#include "invite.hpp"
#include "late_cancel.hpp"
#include "media_start.hpp"
#include "pcm_port.hpp"
#include "refer_server.hpp"
%}

// Any bytes-like object, held for the length of the call (a bytearray must not be resized while it is read).
%typemap(in, numinputs=1) (const char *pcm, std::size_t bytes) (Py_buffer view, int held = 0) {
    if (PyObject_GetBuffer($input, &view, PyBUF_C_CONTIGUOUS) != 0)
        SWIG_fail;
    held = 1;
    $1 = static_cast<char *>(view.buf);
    $2 = static_cast<std::size_t>(view.len);
}
%typemap(freearg) (const char *pcm, std::size_t bytes) {
    if (held$argnum)
        PyBuffer_Release(&view$argnum);
}

// A PcmBuffer, or bytes that become one: a function of one name with keyword arguments, where an overload has none. Bytes
// are looked for first: SWIG makes and discards an AttributeError for what is none of its objects.
%typemap(in) const switchhook::PcmBuffer &pcm (switchhook::PcmBuffer made, void *given = nullptr) {
    if (PyObject_CheckBuffer($input)) {
        Py_buffer view;
        if (PyObject_GetBuffer($input, &view, PyBUF_C_CONTIGUOUS) != 0)
            SWIG_fail;
        try {
            made = switchhook::PcmBuffer(static_cast<const char *>(view.buf), static_cast<std::size_t>(view.len));
        } catch (const std::exception &e) {
            PyBuffer_Release(&view);
            SWIG_exception_fail(SWIG_ValueError, e.what());
        }
        PyBuffer_Release(&view);
        $1 = &made;
    } else {
        if (!SWIG_IsOK(SWIG_ConvertPtr($input, &given, $descriptor(switchhook::PcmBuffer *), 0)) || given == nullptr)
            SWIG_exception_fail(SWIG_TypeError, "PCM is a bytes-like object or a PcmBuffer");
        $1 = static_cast<switchhook::PcmBuffer *>(given);
    }
}
%typemap(typecheck, precedence=SWIG_TYPECHECK_POINTER) const switchhook::PcmBuffer &pcm {
    $1 = 1;
}

%define SWITCHHOOK_ERRORS
    catch (const pj::Error &e) {
        SWIG_Python_Raise(SWIG_NewPointerObj(new pj::Error(e), SWIGTYPE_p_pj__Error, SWIG_POINTER_OWN), "Error", SWIGTYPE_p_pj__Error);
        SWIG_fail;
    }
    catch (const std::invalid_argument &e) { SWIG_exception_fail(SWIG_ValueError, e.what()); }
    catch (const std::exception &e) { SWIG_exception_fail(SWIG_RuntimeError, e.what()); }
%enddef

// The interpreter lock is kept where a call only touches atomics, copies samples or takes a lock whose holder never needs
// the interpreter. createPort(), close() and the destructor take PJSUA's locks, whose holder may: those let go of it.
%feature("nothreadallow") switchhook::PcmBuffer::PcmBuffer;
%feature("nothreadallow") switchhook::PcmBuffer::~PcmBuffer;
%feature("nothreadallow") switchhook::PcmBuffer::samples;
%feature("nothreadallow") switchhook::PcmHub::PcmHub;
%feature("nothreadallow") switchhook::PcmHub::fd;
%feature("nothreadallow") switchhook::PcmHub::drain;
%feature("nothreadallow") switchhook::PcmHub::stats;
%feature("nothreadallow") switchhook::PcmPort::write;
%feature("nothreadallow") switchhook::PcmPort::loop;
%feature("nothreadallow") switchhook::PcmPort::flush;
%feature("nothreadallow") switchhook::PcmPort::position;
%feature("nothreadallow") switchhook::PcmPort::queued;
%feature("nothreadallow") switchhook::PcmPort::underruns;
%feature("nothreadallow") switchhook::PcmPort::set_capture;
%feature("nothreadallow") switchhook::PcmPort::id;
%feature("nothreadallow") switchhook::PcmPort::stats;
%feature("nothreadallow") switchhook::sipPollFd;

%ignore switchhook::PcmEvent;
%ignore switchhook::PcmHub::collect;
%ignore switchhook::PcmHub::core;
%ignore switchhook::PcmBuffer::shared;
%ignore switchhook::PcmBuffer::PcmBuffer();
%exception {
    try { $action }
    SWITCHHOOK_ERRORS
}

%include <stdint.i>
%include "pcm_port.hpp"
%include "gatekeeper.hpp"
%include "invite.hpp"
%include "late_cancel.hpp"

// Python overrides its callbacks.
%feature("director") switchhook::ReferServer;
%include "refer_server.hpp"
%include "media_start.hpp"

%extend switchhook::PcmHub {
    // drain() -> list of (port_id, kind, value, data), see PcmEventKind. The Python objects are made after every lock is
    // let go of: making them may run the garbage collector, and that may run anything.
    PyObject *drain() {
        std::vector<switchhook::PcmEvent> events;
        std::vector<std::int16_t> audio;
        $self->collect(events, audio);
        PyObject *list = PyList_New(static_cast<Py_ssize_t>(events.size()));
        for (std::size_t i = 0; list != nullptr && i < events.size(); ++i) {
            const switchhook::PcmEvent &e = events[i];
            PyObject *item = nullptr;
            if (e.kind == switchhook::PCM_AUDIO)
                item = Py_BuildValue("(iiLy#)", e.port, static_cast<int>(e.kind), static_cast<long long>(e.value),
                                     reinterpret_cast<const char *>(&audio[e.offset]), static_cast<Py_ssize_t>(e.samples * sizeof(std::int16_t)));
            else if (e.kind == switchhook::PCM_DROPPED)
                item = Py_BuildValue("(iiLO)", e.port, static_cast<int>(e.kind), static_cast<long long>(e.value), Py_None);
            else
                item = Py_BuildValue("(iiLL)", e.port, static_cast<int>(e.kind), static_cast<long long>(e.value), static_cast<long long>(e.extra));
            if (item == nullptr)
                Py_CLEAR(list);
            else
                PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), item);
        }
        return list;
    }
}

// Until libInit() sets its log up, PJLIB writes to stdout, which is not ours to write to.
%init %{
    pj_log_set_level(2);
%}

// What this build allows, for settings to be checked against.
%constant int MAX_CALLS = PJSUA_MAX_CALLS;
%constant int MAX_CONF_PORTS = PJSUA_MAX_CONF_PORTS;
%constant int MAX_ACCOUNTS = PJSUA_MAX_ACC;
