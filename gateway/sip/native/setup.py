"""Packs what build.sh compiled into the pjsua2 wheel; build.sh runs it in its build folder, with SH_* set."""

import os

from setuptools import Extension, setup

setup(
    name="pjsua2",
    version=os.environ["SH_VERSION"],
    description="PJSIP's Python bindings with Switchhook's native classes",
    license="GPL-2.0-or-later",
    py_modules=["pjsua2"],
    ext_modules=[
        Extension(
            "_pjsua2",
            sources=[],
            extra_objects=os.environ["SH_OBJECTS"].split(),
            extra_link_args=os.environ["SH_LDFLAGS"].split(),
        )
    ],
)
