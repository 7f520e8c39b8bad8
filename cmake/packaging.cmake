# SPDX-License-Identifier: Apache-2.0
# With -DBANGER_PACKAGE=ON, which deploy/package sets.
# The Debian package: deploy/package makes it, deploy/debian holds its scripts. It brings the programs, the
# dashboard and deploy/install, which its postinst runs for the user `banger`.
option(BANGER_PACKAGE "Prepare the Debian package" OFF)
if(NOT BANGER_PACKAGE)
	return()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME banger)
set(CPACK_PACKAGE_CONTACT "banger maintainers <maintainers@banger.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "microVMs for development and CI")
set(CPACK_PACKAGE_DESCRIPTION "A server with a REST API, a dashboard and a small command line\n\
program that boots microVMs, clones running ones and runs CI jobs\n\
in them. Works with KVM, or slower without it.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
	${PROJECT_SOURCE_DIR}/deploy/debian/postinst
	${PROJECT_SOURCE_DIR}/deploy/debian/prerm
	${PROJECT_SOURCE_DIR}/deploy/debian/postrm)

# What running needs stands in one place, deploy/packages.run.
file(STRINGS ${PROJECT_SOURCE_DIR}/deploy/packages.run run_packages REGEX "^[a-z]")
list(TRANSFORM run_packages REPLACE "[ #].*" "")
list(JOIN run_packages ", " CPACK_DEBIAN_PACKAGE_DEPENDS)
string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", adduser, iproute2, procps")

# Debian's tools want a change log with a date; it is that of the commit (SOURCE_DATE_EPOCH).
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(deploy/debian/changelog.in changelog @ONLY)
execute_process(COMMAND gzip -9nf changelog WORKING_DIRECTORY ${CMAKE_BINARY_DIR})

set(shared ${CMAKE_INSTALL_DATADIR}/banger)
install(PROGRAMS deploy/install deploy/uninstall DESTINATION ${shared}/deploy COMPONENT package EXCLUDE_FROM_ALL)
install(DIRECTORY deploy/systemd DESTINATION ${shared}/deploy COMPONENT package EXCLUDE_FROM_ALL)
install(FILES docs/privileges.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT package EXCLUDE_FROM_ALL)
install(FILES deploy/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_BINARY_DIR}/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT package EXCLUDE_FROM_ALL)
# Manual pages and completions are what the programs print.
install(CODE "set(manual ${PROJECT_SOURCE_DIR}/deploy/manual)" COMPONENT package EXCLUDE_FROM_ALL)
install(CODE [[
	set(staged $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX})
	execute_process(COMMAND ${manual} ${staged}/bin ${staged}/libexec/banger ${staged}/share COMMAND_ERROR_IS_FATAL ANY)
	file(GLOB pages ${staged}/share/man/man*/*)
	execute_process(COMMAND gzip -9nf ${pages} COMMAND_ERROR_IS_FATAL ANY)
]] COMPONENT package EXCLUDE_FROM_ALL)
set(CPACK_COMPONENTS_ALL Unspecified package)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
include(CPack)
