/* SPDX-License-Identifier: Apache-2.0 */
/* makecontext: it takes any number of arguments, which stay where they are. coroutine_made is told
 * the first, and answers the original. */
#if defined(__x86_64__)
    .text
    .globl makecontext
    .type makecontext, @function
makecontext:
    .cfi_startproc
    endbr64
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %r8
    pushq %r9
    pushq %rax
    .cfi_adjust_cfa_offset 56
    call coroutine_made
    movq %rax, %r11
    popq %rax
    popq %r9
    popq %r8
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    .cfi_adjust_cfa_offset -56
    jmp *%r11
    .cfi_endproc
    .size makecontext, .-makecontext
#elif defined(__aarch64__)
    .text
    .globl makecontext
    .type makecontext, %function
makecontext:
    .cfi_startproc
    stp x29, x30, [sp, #-80]!
    .cfi_adjust_cfa_offset 80
    .cfi_rel_offset x30, 8
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    bl coroutine_made
    mov x9, x0
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldp x6, x7, [sp, #64]
    ldp x29, x30, [sp], #80
    .cfi_adjust_cfa_offset -80
    br x9
    .cfi_endproc
    .size makecontext, .-makecontext
#endif
    .section .note.GNU-stack, "", %progbits
