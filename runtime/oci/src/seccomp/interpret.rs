//! A small interpreter of classic BPF, for tests: the instructions the kernel accepts in a filter and we use.

use keelson_sys::seccomp_filter::Instruction;

/// One system call as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub number: u32,
    pub arch: u32,
    pub arguments: [u64; 6],
}

/// What the program returns for a call. Panics where the kernel would refuse the program.
pub fn run(program: &[Instruction], call: Call) -> u32 {
    let mut bytes = [0_u8; 64];
    bytes[0..4].copy_from_slice(&call.number.to_le_bytes());
    bytes[4..8].copy_from_slice(&call.arch.to_le_bytes());
    for (index, argument) in call.arguments.iter().enumerate() {
        bytes[16 + 8 * index..24 + 8 * index].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut a, mut at) = (0_u32, 0_usize);
    loop {
        let Instruction {
            code,
            if_true,
            if_false,
            operand,
        } = program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { if_true } else { if_false });
        match code {
            0x20 => {
                assert!(operand % 4 == 0, "loads are aligned");
                let from = operand as usize;
                a = u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
            }
            0x54 => a &= operand,
            0x05 => at += operand as usize,
            0x15 => jump(a == operand),
            0x25 => jump(a > operand),
            0x35 => jump(a >= operand),
            0x06 => return operand,
            other => panic!("instruction {other:#x} is not allowed in a filter"),
        }
    }
}
