/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfork: the child runs on the parent's stack and in its memory, so no C frame may stand between
 * the caller and the system call: the child's calls would overwrite it. The return address is kept
 * in a register over the call. thread_in_vfork > 0 tells every hook that the child calls to touch
 * nothing: it is the parent's memory, and the parent's thread-local storage too. The parent takes
 * its own one back when it goes on.
 */
#if defined(__x86_64__)
    .text
    .globl vfork
    .type vfork, @function
vfork:
    .cfi_startproc
    endbr64
    movq thread_in_vfork@gottpoff(%rip), %rsi
    incl %fs:(%rsi)
    popq %rdi
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rdi
    movl $58, %eax /* SYS_vfork */
    syscall
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rip, 0
    testl %eax, %eax
    jz 1f /* the child */
    decl %fs:(%rsi)
    testl %eax, %eax
    js 2f
1:  ret
2:  movl %eax, %edi
    jmp vfork_failed
    .cfi_endproc
    .size vfork, .-vfork
#elif defined(__aarch64__)
    .text
    .globl vfork
    .type vfork, %function
vfork:
    .cfi_startproc
    mrs x9, tpidr_el0
    adrp x10, :gottprel:thread_in_vfork
    ldr x10, [x10, :gottprel_lo12:thread_in_vfork]
    add x9, x9, x10
    ldr w10, [x9]
    add w10, w10, #1
    str w10, [x9]
    mov x0, #0x4111 /* CLONE_VFORK | CLONE_VM | SIGCHLD */
    mov x1, #0
    mov x2, #0
    mov x3, #0
    mov x4, #0
    mov x8, #220 /* SYS_clone */
    svc #0
    cbz x0, 1f
    ldr w10, [x9]
    sub w10, w10, #1
    str w10, [x9]
    tbnz x0, #63, 2f
1:  ret
2:  b vfork_failed
    .cfi_endproc
    .size vfork, .-vfork
#endif
    .section .note.GNU-stack, "", %progbits
