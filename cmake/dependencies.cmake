# SPDX-License-Identifier: Apache-2.0
# Every library is looked up with pkg-config; a missing one names the Debian package that brings it.
find_package(PkgConfig REQUIRED)

function(banger_dependency target module package)
	pkg_check_modules(${target} QUIET IMPORTED_TARGET GLOBAL ${module})
	if(NOT ${target}_FOUND)
		message(FATAL_ERROR "${module} is missing. On Debian: apt-get install ${package}")
	endif()
endfunction()

banger_dependency(MICROHTTPD "libmicrohttpd>=0.9.75" libmicrohttpd-dev)
banger_dependency(CURL "libcurl>=7.88" libcurl4-openssl-dev)
banger_dependency(JANSSON "jansson>=2.14" libjansson-dev)
banger_dependency(SQLITE "sqlite3>=3.37" libsqlite3-dev)
banger_dependency(NGHTTP2 "libnghttp2>=1.43" libnghttp2-dev)
banger_dependency(ARCHIVE "libarchive>=3.6" libarchive-dev)
banger_dependency(ISAL "libisal>=2.30" libisal-dev)
banger_dependency(INIH "inih>=55" libinih-dev)
banger_dependency(CRYPTO "libcrypto>=3.0" libssl-dev)

# wslay brings no pkg-config file.
find_path(WSLAY_INCLUDE wslay/wslay.h)
find_library(WSLAY_LIBRARY wslay)
if(NOT WSLAY_INCLUDE OR NOT WSLAY_LIBRARY)
	message(FATAL_ERROR "libwslay is missing. On Debian: apt-get install libwslay-dev")
endif()
add_library(Wslay::Wslay UNKNOWN IMPORTED)
set_target_properties(Wslay::Wslay PROPERTIES
	IMPORTED_LOCATION ${WSLAY_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${WSLAY_INCLUDE})
