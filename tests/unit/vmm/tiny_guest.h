/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of a few instructions, as an ELF kernel with a PVH entry. It counts in memory and writes
 * each count modulo 26 as a letter to the serial port: abcdef…  A restored copy goes on where the
 * snapshot was taken, which shows that memory and device state came through.
 */
#pragma once

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { TINY_BASE = 0x100000, TINY_CODE = 0x1000, TINY_SPINS_AT = 0x39 };

static const uint8_t tiny_code[] = {
	0x31, 0xdb,                               /*        xor  %ebx, %ebx            */
	0x89, 0x1d, 0x00, 0x00, 0x20, 0x00,       /*        mov  %ebx, 0x200000        */
	0xba, 0xfd, 0x03, 0x00, 0x00,             /* wait:  mov  $0x3fd, %edx          */
	0xec,                                     /*        in   (%dx), %al            */
	0xa8, 0x20,                               /*        test $0x20, %al            */
	0x74, 0xf6,                               /*        jz   wait                  */
	0xa1, 0x00, 0x00, 0x20, 0x00,             /*        mov  0x200000, %eax        */
	0x04, 0x61,                               /*        add  $'a', %al             */
	0xba, 0xf8, 0x03, 0x00, 0x00,             /*        mov  $0x3f8, %edx          */
	0xee,                                     /*        out  %al, (%dx)            */
	0xff, 0x05, 0x00, 0x00, 0x20, 0x00,       /*        incl 0x200000              */
	0x83, 0x3d, 0x00, 0x00, 0x20, 0x00, 0x1a, /*  cmpl $26, 0x200000         */
	0x75, 0x0a,                               /*        jne  pause                 */
	0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, /* movl $0, 0x200000 */
	0xb9, 0x40, 0x42, 0x0f, 0x00, /* pause: mov  $1000000, %ecx        */
	0x49,                         /* spin:  dec  %ecx                  */
	0x75, 0xfd,                   /*        jnz  spin                  */
	0xeb, 0xc6,                   /*        jmp  wait                  */
};

/* Writes the kernel to `path`; it counts `spins` down between two letters. Returns 0 or -1. */
static inline int tiny_guest_write(const char *path, uint32_t spins)
{
	static const struct {
		Elf64_Nhdr h;
		char name[4];
		uint64_t entry;
	} __attribute__((packed)) note = { .h = { 4, 8, 18 }, .name = "Xen", .entry = TINY_BASE };
	const Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = TINY_BASE,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	const Elf64_Phdr phdrs[2] = {
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_W | PF_X,
		  .p_offset = TINY_CODE,
		  .p_vaddr = TINY_BASE,
		  .p_paddr = TINY_BASE,
		  .p_filesz = sizeof(tiny_code),
		  .p_memsz = TINY_CODE,
		  .p_align = TINY_CODE },
		{ .p_type = PT_NOTE,
		  .p_flags = PF_R,
		  .p_offset = sizeof(Elf64_Ehdr) + sizeof(phdrs),
		  .p_filesz = sizeof(note),
		  .p_memsz = sizeof(note),
		  .p_align = 4 },
	};
	uint8_t file[TINY_CODE + sizeof(tiny_code)] = { 0 };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r;

	memcpy(file, &ehdr, sizeof(ehdr));
	memcpy(file + sizeof(ehdr), phdrs, sizeof(phdrs));
	memcpy(file + sizeof(ehdr) + sizeof(phdrs), &note, sizeof(note));
	memcpy(file + TINY_CODE, tiny_code, sizeof(tiny_code));
	memcpy(file + TINY_CODE + TINY_SPINS_AT, &spins, sizeof(spins));
	if (fd < 0)
		return -1;
	r = write(fd, file, sizeof(file)) == (ssize_t)sizeof(file) ? 0 : -1;
	(void)close(fd);
	return r;
}
